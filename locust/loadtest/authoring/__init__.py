"""Authoring: drafts of scenarios for people to continue: minimal, or from OpenAPI, a browser, Postman or curl.

tests/unit/authoring/test_scenario_file.py tests the command.
"""
