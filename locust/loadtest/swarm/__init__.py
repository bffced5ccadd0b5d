"""The swarm: everything that passes between master and workers, and everything that is replaced in Locust.

- `keys`, `authenticator`, `sockets`, `connections`, `monitor`: the link, encrypted and closed to strangers.
- `messages`: the table of messages; `gate`: where each arrives, in both directions; `refusals`: what was refused.
- `presence`: who is there; `service`: what master and workers do together; `session`: their order in a run.
- `record_keeper`, `delta_sender`: measuring as such a service; `reports` carries its deltas.
- `replacements`: what is replaced in Locust, as a table.
"""
