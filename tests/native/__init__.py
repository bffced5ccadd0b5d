"""Tests with the whole stack as processes of this machine."""
