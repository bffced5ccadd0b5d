"""Conducting: one run on the master, from its start to its verdict."""
