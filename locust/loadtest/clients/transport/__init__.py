"""The transport that all clients share: endpoints, streams, waiting and deadlines.

An `Endpoint` opens a `Stream`: TCP or a Unix socket, with or without TLS, never to a blocked address. A `Connection` is
a stream on which a greenlet waits; the `Poller` wakes it when something arrives, the `DeadlineSweeper` when its
deadline has passed. The bytes sent over it are up to the protocol.
"""
