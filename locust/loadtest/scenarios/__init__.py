"""One module for each system under test."""
