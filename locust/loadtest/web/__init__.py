"""Locust's web UI, guarded: who may open it, from where, and which inputs it accepts."""
