"""Gunicorn's configuration of the target: `gunicorn -c python:target_app.gunicorn_conf 'target_app:create_app()'`.

Worker class gthread: a worker keeps idle connections open in its poller and serves up to `threads` concurrent requests,
so a slow Redis or client does not block the worker, and nothing is monkey-patched. Gunicorn's default, sync, closes the
connection after each request; gevent costs more CPU per request here. More than a few threads only compete for the
GIL; to serve more requests, add workers.
"""

import os
import secrets
from pathlib import Path
from typing import Any

from target_app import metrics
from target_app.settings import Settings

_SETTINGS = Settings.from_environment(os.environ)
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - Gunicorn opens an unguessable, already unlinked file there

bind = _SETTINGS.bind
workers = _SETTINGS.workers
worker_class = "gthread"
threads = _SETTINGS.threads
worker_connections = 1_000
keepalive = 75  # seconds; longer than the think time of virtual users, so that connections are reused
timeout = 30
graceful_timeout = 10
backlog = 2_048
loglevel = _SETTINGS.log_level
accesslog = None  # one line per request would measure the disk
control_socket_disable = True
# The heartbeat file must not wait for a disk, and a container's root may be read-only.
worker_tmp_dir = str(_SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else _SETTINGS.tmp_dir)

_folder: Path | None = None


def on_starting(server: Any) -> None:
    """Create what all workers share before the first fork: the metrics folder, and a secret key if none is set."""
    global _folder  # noqa: PLW0603 - Gunicorn's hooks are functions of one module; the master lives in one process
    _folder = metrics.open_folder(_SETTINGS.tmp_dir)
    if _SETTINGS.signing_key() is None:
        os.environ["TARGET_APP_SECRET_KEY"] = secrets.token_urlsafe(32)  # inherited by workers, lost on exit
    server.log.info("metrics of the workers are in %s", _folder)


def pre_fork(server: Any, worker: Any) -> None:
    """Give the new worker the lowest free slot."""
    taken = {other.slot for other in server.WORKERS.values()}
    worker.slot = next(slot for slot in range(len(taken) + 1) if slot not in taken)


def post_fork(server: Any, worker: Any) -> None:  # noqa: ARG001
    """Make the worker write the files of its slot."""
    metrics.take_slot(worker.slot)


def child_exit(server: Any, worker: Any) -> None:  # noqa: ARG001
    """Remove the gauges of a worker that has exited."""
    metrics.leave_slot(worker.slot)


def on_exit(server: Any) -> None:  # noqa: ARG001
    """Remove the metrics folder."""
    if _folder:
        metrics.close_folder(_folder)
