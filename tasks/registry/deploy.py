"""The registry host: certificates, accounts, images, then the two containers.

The first two work on the controller's state. They are the registry host's, since what it has decides on them.
"""

from __future__ import annotations

from pyinfra import host
from pyinfra.api.deploy import deploy

from tasks.placement import as_root
from tasks.registry.operations import accounts, certificates, images
from tasks.registry.operations import containers as registry
from tasks.run.apply import look_ahead
from tasks.run.context import current


@deploy("Registry")
def serve() -> None:
    """Make what the registry needs, and start it."""
    if "registry" not in host.groups:
        return
    look_ahead(certificates.look)
    certificates.renew(name="certificates", **as_root())
    accounts.apply(name="accounts", **as_root())
    images.provide(name="images", **as_root())
    registry.serve(name="files and containers", **as_root())
    current().registry_decided.set()
