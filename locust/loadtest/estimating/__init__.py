"""Estimating: how much the figures of one run would vary, from its blocks; see docs/comparing.md."""
