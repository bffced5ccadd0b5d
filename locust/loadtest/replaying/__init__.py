"""Replaying: turns production logs into a scenario and a profile of single arrivals."""
