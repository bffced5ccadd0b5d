"""Feeding: test data, each item dealt once over the whole swarm.

sources.py   where items come from: a file, Redis, MongoDB, or Python
policies.py  their order: round_robin, random, unique_then_stop, zipf(s)
dealer.py    the master's side of the protocol: who holds what (pure)
hand.py      a worker's side: what it may give to its users (pure)
feeder.py    `user_id = self.feeder.next()`
swarm.py     both sides wired into Locust
"""
