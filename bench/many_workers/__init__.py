"""A thousand workers of one master."""
