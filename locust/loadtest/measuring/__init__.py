"""From a finished request to one complete record of the run."""
