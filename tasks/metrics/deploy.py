"""The last part of a run: what it came to, for Prometheus."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api.deploy import deploy

from tasks.metrics import operations
from tasks.run.context import current


@deploy("Metrics")
def tell() -> None:
    """Tell the registry host what this run came to, if there are metrics; or forget what there was for them."""
    if "registry" not in host.groups:
        return
    if current().configuration.settings.registry_metrics:
        operations.tell(name="what this run knows")
    elif operations.left(current().store.folder):
        operations.forget(name="what Prometheus needed")
