"""Estimating: how much the figures of one run would vary, from its blocks of time; see docs/comparing.md."""
