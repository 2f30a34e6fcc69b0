"""The registry host: certificates, accounts, images, then the two containers.

The first two change the controller's state. They run for the registry host, because its facts decide.
"""

from __future__ import annotations

from pyinfra import host
from pyinfra.api.deploy import deploy

from tasks.registry.operations import accounts, certificates, containers, images
from tasks.run.apply import prefetch
from tasks.run.context import current


@deploy("Registry")
def serve() -> None:
    """Provide what the registry needs, and start it."""
    if "registry" not in host.groups or current().machines[host.name].engine == "off":
        return  # an engine that is off is not asked: its socket would start it
    prefetch(certificates.read_facts)
    certificates.renew(name="certificates")
    accounts.apply(name="accounts")
    images.provide(name="images")
    containers.serve(name="files and containers")
    current().settled[host.name].set()
