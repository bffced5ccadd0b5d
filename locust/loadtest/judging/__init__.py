"""The outcome of a run: thresholds, trust in the generator, and the verdict."""
