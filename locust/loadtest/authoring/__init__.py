"""Authoring: drafts of scenarios, minimal or from an OpenAPI document, for people to continue.

tests/unit/authoring/test_scenario_file.py tests the command.
"""
