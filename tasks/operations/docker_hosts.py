"""Trust on a Docker host."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks.facts.docker_hosts import DockerHostFact
from tasks.model import docker_hosts, hosts_file
from tasks.model.steps import Step
from tasks.operations.carry_out import carry_out, read
from tasks.operations.finished_registry import finished_registry
from tasks.run import Run, current


@operation()
def trust() -> Generator[PyinfraCommand, None, None]:
    """Give the engine the CA, and the host the registry's address."""
    if "docker_hosts" not in host.groups:
        return
    yield from carry_out(host, lambda: _decide(current()), lambda: "Docker trusts the registry and finds it")
    settings = current().configuration.settings
    current().report.say(host.name, f"Docker trusts {', '.join(settings.authorities)}")


def _decide(run: Run) -> list[Step]:
    settings = run.configuration.settings
    ca_pem, address = finished_registry(host)
    found = read(
        host,
        DockerHostFact,
        paths=docker_hosts.paths(settings),
        texts=docker_hosts.texts(settings),
        hosts_file=hosts_file.PATH,
    )
    return docker_hosts.steps(settings, ca_pem, address, found)
