"""Checking: runs one iteration of each task of a scenario, before a load test."""
