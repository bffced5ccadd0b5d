"""Conducts one run on the master, from start to verdict."""
