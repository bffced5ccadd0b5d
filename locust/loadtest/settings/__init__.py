"""Settings: one frozen Config from a file, the environment and the command line, and what is read because of it."""
