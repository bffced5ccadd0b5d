"""The key-value workload model: which keys of a Redis are read and written, how often, and with which documents.

from loadtest.workload.key_value import Workload

CACHE = Workload.read("cache.toml")
"""
