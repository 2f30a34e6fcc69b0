"""Trust on a Docker host."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks.facts.docker_hosts import DockerHostFact
from tasks.model import docker_hosts, hosts_file
from tasks.model.steps import Conflict, Step
from tasks.operations.carry_out import carry_out, read
from tasks.run import Run, current


@operation()
def trust() -> Generator[PyinfraCommand, None, None]:
    """Give the engine the CA, and the host the registry's address."""
    yield from carry_out(host, lambda: _decide(current()), lambda: "Docker trusts the registry and finds it")
    settings = current().configuration.settings
    current().report.say(host.name, f"Docker trusts {', '.join(settings.authorities)}")


def _decide(run: Run) -> list[Step]:
    settings = run.configuration.settings
    registry_host = host.inventory.get_host(run.configuration.registry_host)
    if not host.state.is_executing and registry_host in host.state.active_hosts:
        run.registry_decided.wait()  # a plan asks all hosts at once
    if run.authority is None or run.address is None or (host.state.is_executing and not run.served):
        raise Conflict(
            f"the registry host {run.configuration.registry_host} is not finished, so nothing is told to trust it",
            "mend that host first and run again",
        )
    found = read(
        host,
        DockerHostFact,
        paths=docker_hosts.paths(settings),
        texts=docker_hosts.texts(settings),
        hosts_file=hosts_file.PATH,
    )
    return docker_hosts.steps(settings, run.authority.certificate_pem, run.address, found)
