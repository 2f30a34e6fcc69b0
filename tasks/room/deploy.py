"""Make room on the registry host: delete the tags that may go, then what nothing needs any more."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api.deploy import deploy

from tasks.room import operations
from tasks.run.context import current


@deploy("Room")
def make() -> None:
    """Delete what may go, if this run was asked to, or is the timer's and there are rules; then tell the web page."""
    if "registry" not in host.groups:
        return
    if operations.is_due(current()):
        operations.delete_tags(name="tags that may go")
        operations.collect(name="blobs that nothing needs")
    if operations.is_shown(current()):
        operations.show(name="what the web page shows")
