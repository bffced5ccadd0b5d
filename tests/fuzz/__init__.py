"""Input made up at random, at every edge: understood, or refused cleanly."""
