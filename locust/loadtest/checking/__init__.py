"""Checking: one iteration of each task of a scenario, before it becomes load."""
