"""Tests of the Compose stack: containers, networks, and the real Prometheus in them."""
