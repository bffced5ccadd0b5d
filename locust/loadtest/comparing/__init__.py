"""Two runs held against each other, with statistics: docs/comparing.md."""
