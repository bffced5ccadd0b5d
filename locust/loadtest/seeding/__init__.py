"""Seeding: generates users, the same for the same seed, writes them to Redis or MongoDB, and their ids to a file.

Tested through the command, in tests/unit/seeding/test_commands.py.
"""
