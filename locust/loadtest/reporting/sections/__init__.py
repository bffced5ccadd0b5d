"""The sections of report.html; a function returns one, or nothing where the run has nothing for it."""
