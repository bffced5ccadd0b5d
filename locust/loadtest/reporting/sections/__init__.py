"""The sections of report.html. A function returns one section; it is empty if the run has nothing for it."""
