"""The registry host: certificates, accounts, images, then the two containers.

The first two work on the controller's state. They are the registry host's, since what it has decides on them.
"""

from __future__ import annotations

from pyinfra import host
from pyinfra.api.deploy import deploy

from tasks.registry.operations import accounts, certificates, images
from tasks.registry.operations import containers as registry
from tasks.run.apply import prefetch
from tasks.run.context import current


@deploy("Registry")
def serve() -> None:
    """Make what the registry needs, and start it."""
    if "registry" not in host.groups:
        return
    prefetch(certificates.read_facts)
    certificates.renew(name="certificates")
    accounts.apply(name="accounts")
    images.provide(name="images")
    registry.serve(name="files and containers")
    current().settled[host.name].set()
