"""Feeding: test data, each item allocated once over the whole swarm.

- `sources`: where items come from: a file, Redis, MongoDB, or Python; `policies`: their order.
- `allocator`: the master's side of the protocol: who holds what; `held_batches`: a worker's side (both pure).
- `feeder`: `user_id = self.feeder.next()`; `feed`: declares it in a User class.
- `service`: both sides as a service of the swarm.
"""
