"""The search for the highest arrival rate that a service sustains."""
