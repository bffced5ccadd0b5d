"""Seeding: made-up users, the same for the same seed, written into Redis or MongoDB, and their ids into a file."""
