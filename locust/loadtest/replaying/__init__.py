"""Replaying: what production did, read from its logs, as a scenario and a profile of single arrivals."""
