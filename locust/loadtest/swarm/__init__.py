"""The swarm: all communication between master and workers, and everything that is replaced in Locust.

- `keys`, `authenticator`, `sockets`, `connections`, `monitor`: the link, encrypted and authenticated.
- `messages`: the table of messages; `gate`: where messages arrive, on both sides; `refusals`: what was refused.
- `presence`: which peers are connected; `service`: what master and workers do together; `session`: the order of a run.
- `record_keeper`, `delta_sender`: measuring as such a service; `reports` carries its deltas.
- `replacements`: the table of what is replaced in Locust.
"""
