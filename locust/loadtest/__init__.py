"""Load generation, exact measurement and verdicts on top of Locust."""

__version__ = "0.1.0"
