"""Settings: one frozen Config from a file, the environment and the command line, and the readers of the files and URLs
that it names."""
