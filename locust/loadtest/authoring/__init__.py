"""Authoring: draft scenarios for people to complete: minimal ones, or from OpenAPI, a browser, Postman or curl.

tests/unit/authoring/test_scenario_file.py tests the command.
"""
