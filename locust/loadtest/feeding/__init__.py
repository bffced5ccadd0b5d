"""Feeding: test data, each item allocated once over the whole swarm.

sources.py        where items come from: a file, Redis, MongoDB, or Python
policies.py       their order: round_robin, random, unique_then_stop, zipf(s)
allocator.py      the master's side of the protocol: who holds what (pure)
held_batches.py   a worker's side: what it may give to its users (pure)
feeder.py         `user_id = self.feeder.next()`
swarm.py          both sides connected to Locust
"""
