"""Kubernetes: a run on a cluster by one command, with what deploy/kubernetes describes."""
