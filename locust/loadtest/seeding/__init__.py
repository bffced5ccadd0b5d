"""Seeding: made-up users, the same for the same seed, written to Redis or MongoDB, and a file with their ids.

tests/unit/seeding/test_commands.py tests all of it through the command.
"""
