"""The cache folder of the bench, and locks between concurrent runs."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_thread_locks: dict[str, threading.Lock] = {}


def cache() -> Path:
    """Return the cache folder; create it if it is missing."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "homelab-registry-bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock, which is released whenever the process ends.

    Threads of one process first wait on a thread lock: once pyinfra's command line is imported they are gevent's, and
    a thread that waited for the file would block the thread that holds it.
    """
    with _thread_locks.setdefault(name, threading.Lock()), (cache() / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
