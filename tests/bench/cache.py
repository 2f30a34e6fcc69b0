"""The folder of what the bench makes once, and its locks between runs at the same time."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_thread_locks: dict[str, threading.Lock] = {}


def cache() -> Path:
    """Return the folder, made if it is not there."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = home / "homelab-registry-bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock, which ends with the process however that ends.

    Threads of one process wait for each other beforehand: once pyinfra's command line is imported they are gevent's, and
    one that waited for the file would stop the one that has it.
    """
    with _thread_locks.setdefault(name, threading.Lock()), (cache() / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
