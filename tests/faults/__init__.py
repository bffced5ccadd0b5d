"""Fault tests: real processes, with faults injected from outside."""
