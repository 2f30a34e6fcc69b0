"""Carry out what a Docker host needs."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks.clients import mirrors
from tasks.clients import plan as client_hosts
from tasks.clients.claims import Claim, Claims
from tasks.clients.endpoint import finished_registry, served_names, serves_caches
from tasks.clients.mirrors import Mirror
from tasks.clients.system_trust import Family
from tasks.docker_hosts import plan, questions
from tasks.docker_hosts.engines import DockerHost
from tasks.docker_hosts.facts import DockerHostFact
from tasks.docker_hosts.plan import DockerTarget, Planned
from tasks.remote.steps import Step
from tasks.run.apply import apply_steps, read_fact, record_problem
from tasks.run.context import Run


@operation()
def trust() -> Generator[PyinfraCommand, None, None]:
    """Give the engines the CA, the host the registry's address, and the users their login."""
    yield from apply_steps(host, _decide, _noop_reason)


def _decide(run: Run) -> list[Step]:
    """Return the steps, and record what is refused: a user's mistake keeps neither the host nor a rotation waiting."""
    planned = decide(run)
    for stop in planned.refused.values():
        record_problem(host, stop.problem, stop.remedy)
    return planned.steps


def decide(run: Run) -> Planned:
    """Return the steps; `Conflict` if something on the host contradicts them, or it could not be read."""
    configuration, own = run.configuration, run.configuration.hosts[host.name]
    registry = finished_registry(host)
    found = read_facts(run)
    client_hosts.note_loss(run, host.name, registry.address, found.client)
    target = DockerTarget(
        ca_pem=registry.ca_pem,
        address=registry.address,
        logins={
            user: registry.logins[account]
            for user, account in own.login_accounts(configuration.settings).items()
        },
        family=_family(run),
        mirror=_mirror(run),
    )
    planned = plan.steps(configuration.settings, target, found)
    for note in planned.notes:
        run.report.note(host.name, note)
    run.part(Claims).make(host.name, _claim(run, target, found, planned))
    return planned


def read_facts(run: Run) -> DockerHost:
    """Read what the host has; `Conflict` if it could not be read."""
    return read_fact(
        host,
        DockerHostFact,
        settings=run.configuration.settings,
        users=list(run.configuration.hosts[host.name].registry_login_users),
        family=_family(run),
        mirror=_mirror(run),
    )


def _mirror(run: Run) -> Mirror | None:
    return mirrors.mirror(run.configuration.settings, run.configuration.hosts[host.name])


def _family(run: Run) -> Family | None:
    return client_hosts.family(run.configuration.hosts[host.name], run.machines[host.name].family)


def _noop_reason(run: Run) -> str:
    users = run.configuration.hosts[host.name].registry_login_users
    all_well = users and not run.report.problems.get(host.name)
    return "Docker has the registry's CA and its name" + (", and its users are logged in" if all_well else "")


def _claim(run: Run, target: DockerTarget, found: DockerHost, planned: Planned) -> Claim:
    settings = run.configuration.settings
    users = [
        user if login.account == settings.registry_login_account else f"{user} ({login.account})"
        for user, login in target.logins.items()
        if user not in planned.refused
    ]
    served = served_names(run)
    return Claim(
        "docker_hosts",
        [questions.TITLE],
        settings.endpoints,
        target.ca_pem,
        target.address,
        [
            *(question for name in served for question in questions.of(settings, name, found)),
            *(questions.of_mirror(settings, found) if planned.mirror and serves_caches(run) else []),
        ],
        changed=bool(planned.steps),
        logged_in=users,
        mirror=planned.mirror,
    )
