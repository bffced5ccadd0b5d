"""Kubernetes: a run on a cluster with one command, using the manifests in deploy/kubernetes."""
