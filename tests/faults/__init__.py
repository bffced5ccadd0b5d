"""What happens when something breaks: on real processes, from outside."""
