"""Docker Engine on the registry host and on the Docker hosts."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api.deploy import deploy

from tasks.operations import docker_engine
from tasks.placement import as_root


@deploy("Docker Engine")
def install() -> None:
    """Install and start it where there is none."""
    if {"registry", "docker_hosts"} & set(host.groups):
        docker_engine.install(name="installed and running", **as_root())
