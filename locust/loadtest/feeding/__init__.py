"""Feeding: test data, each item allocated once across the whole swarm.

- `sources`: where items come from; `file_formats`, `redis_query`, `mongo_query`, `sql_query`: the kinds of sources;
  `policies`: the order of items.
- `allocator`: the master's side of the protocol, which allocates items to workers; `held_batches`: a worker's side.
  Neither does I/O.
- `feeder`: `user_id = self.feeder.next()`; `feed`: declares it in a User class.
- `service`: both sides as a service of the swarm.
"""
