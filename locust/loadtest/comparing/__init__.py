"""Comparing: two runs with each other, statistically, and all runs over time; see docs/comparing.md.

tests/unit/comparing/test_commands.py tests the commands with baselines, history, text and page; test_comparison.py also
tests the blocks of a run.
"""
