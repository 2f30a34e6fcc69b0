"""A running Docker Engine."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks.model import docker_engine
from tasks.run.apply import carry_out
from tasks.run.context import current


@operation()
def install() -> Generator[PyinfraCommand, None, None]:
    """Install and start Docker Engine where there is none."""
    machine = current().machines[host.name]
    yield from carry_out(host, lambda: docker_engine.steps(machine), lambda: "Docker Engine is running")
