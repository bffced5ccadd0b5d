"""Locust's web UI, guarded: who may open it, from where, and what it may be told to do."""
