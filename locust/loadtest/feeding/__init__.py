"""Feeding: test data, each item allocated once over the whole swarm.

- `sources`: where items come from; `file_formats`, `redis_query`, `mongo_query`, `sql_query`: the kinds of them;
  `policies`: their order.
- `allocator`: the master's side of the protocol: who holds what; `held_batches`: a worker's side (both pure).
- `feeder`: `user_id = self.feeder.next()`; `feed`: declares it in a User class.
- `service`: both sides as a service of the swarm.
"""
