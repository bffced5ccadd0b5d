"""Judging: the outcome of a run, from thresholds and trust in the generator to the verdict."""
