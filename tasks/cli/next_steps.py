"""Commands to paste after a run: the first push, and what to do next.

They work where the run was started, with what the inventory says of a host, and as users who may do it.
"""

from __future__ import annotations

import shlex
from typing import Literal

from pyinfra.context import ctx_state

from tasks.cli.standing import has_timer, shown
from tasks.clients.claims import Claims
from tasks.docker_hosts.questions import TITLE
from tasks.registry.context import RegistryContext
from tasks.remote.ssh_command import ssh
from tasks.run.context import Run

PUSHING = ("push", "admin")
"""The roles that may push, the one to take for it first."""


def first_push(run: Run) -> list[str]:
    """Return the commands that push a first image, if until this run no host was seen to reach the registry."""
    account = _push_account(run)
    if not run.part(Claims).first or not account or not (hosts := _docker_hosts(run)):
        return []
    host = hosts[0]
    settings = run.configuration.settings
    sudo = "sudo " if run.machines[host].rights == "sudo" else ""
    login_there = _login_of_root(run, host)
    # A login that this project keeps stays as it is: the next run would put it back.
    docker = f"{sudo}docker" + (f" --config /root/.docker-{account}" if login_there == "kept" else "")
    image = f"{settings.endpoint}/alpine"
    login = f"{docker} login -u {account} --password-stdin {settings.endpoint}"
    push = f"{sudo}docker pull alpine && {sudo}docker tag alpine {image} && {docker} push {image}"
    password = shlex.quote(shown(run.store.password_path(account)))
    commands = [f"{login} < {password}", push]
    if not host.startswith("@local"):
        remote = ssh(host, ctx_state.get().inventory.get_host(host).data.dict())
        commands = [f"{remote} {login} < {password}", f"{remote} {shlex.quote(push)}"]
    if login_there == "pushes":
        del commands[0]
    return ["", "Push your first image", *(f"  {command}" for command in commands)]


def _push_account(run: Run) -> str | None:
    accounts = run.configuration.settings.registry_accounts
    return next((name for role in PUSHING for name in accounts if accounts[name] == role), None)


def _docker_hosts(run: Run) -> list[str]:
    """Return the hosts whose Docker Engine, the system's own, was seen to trust the registry; the best one first.

    Its user is root, who may use it. A host behind a connector other than SSH is left out: what to type is not known.
    """
    claims = run.part(Claims)
    found = [
        host
        for (host, group), seen in claims.trusting.items()
        if group == "docker_hosts" and TITLE in seen
        if host.startswith(("@local", "@ssh/")) or not host.startswith("@")
        if any(question.user is None for question in claims.made[host][group].questions)
    ]

    order = ("pushes", "none", "kept")
    return sorted(
        found,
        key=lambda host: (
            order.index(_login_of_root(run, host)),
            host == run.configuration.registry_host,
        ),
    )


def _login_of_root(run: Run, host: str) -> Literal["pushes", "none", "kept"]:
    """Return which login root has on a Docker host: one that may push, none, or another that this project keeps."""
    configuration, claim = run.configuration, run.part(Claims).made[host]["docker_hosts"]
    account = configuration.hosts[host].login_accounts(configuration.settings).get("root")
    if account is None:
        return "none"
    is_there = "root" in {user.partition(" ")[0] for user in claim.logged_in}
    return "pushes" if is_there and configuration.settings.registry_accounts[account] in PUSHING else "kept"


def next_steps(run: Run) -> list[str]:
    """Return what to do after a run that changed something."""
    inventory = shlex.quote(run.inventory)
    rows = [(f"make verify INVENTORY={inventory}", "proves it from every host")]
    if not has_timer(run):
        rows.append((f"make timer  INVENTORY={inventory}", "keeps it so, every week"))
    width = max(len(command) for command, _ in rows)
    backup = [f"  {line}" for line in [_backup(run)] if line]
    return ["", "Next", *(f"  {command:<{width}}   {why}" for command, why in rows), *backup]


def _backup(run: Run) -> str:
    """Return why the state is to be backed up now, if it has a new key or new passwords."""
    context, folder = run.part(RegistryContext), shown(run.store.folder)
    before, after = context.before or context.present, context.authorities
    known = {
        each.fingerprint for each in (before.authority, before.successor and before.successor.ca) if each
    }
    if after and after.latest.fingerprint not in known:
        return f"Back up {folder}/ now: it holds the CA's key, and this run made a new one."
    if context.desired.changes != before.changes:
        return f"Back up {folder}/ now: it holds the passwords, and this run made new ones."
    return ""
