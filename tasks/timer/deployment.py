"""What a timer runs: an inventory of this project, with the settings that the timer needs."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from tasks.remote.steps import Conflict
from tasks.run.context import ROOT
from tasks.settings.load import Settings, SettingsError
from tasks.state.place import store_of
from tasks.timer.units import Deployment, Timer, inventory_of, project_of


def read_deployment(inventory: str) -> Deployment:
    """Read an inventory's settings; `Conflict` if a run of the timer with them could not go well."""
    settings = _read_settings(inventory)
    path = Path(os.path.abspath(inventory))
    if not str(path).isprintable():
        raise Conflict("the inventory's path has characters that cannot be printed", "rename it")
    state, program = (
        store_of(inventory, settings.registry_state_dir, ROOT).folder,
        settings.registry_timer_program,
    )
    if state.exists() and state.stat().st_uid != os.getuid():
        raise Conflict(f"{state} belongs to {state.owner()}, not to this user", f"run as {state.owner()}")
    if program and not os.access(program, os.X_OK):
        raise Conflict(
            f"registry_timer_program = {program}: it cannot be executed",
            "correct it, or chmod +x the program",
        )
    given = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
    return Deployment(ROOT, given, settings.registry_timer, program)


def check_not_foreign(timer: Timer, deployment: Deployment, script: str | None) -> None:
    """Raise `Conflict` if this timer is for another inventory of the same name that still exists."""
    other, inventory = project_of(script or ""), inventory_of(script or "")
    if other == deployment.project and inventory not in {"", deployment.inventory}:
        path = deployment.project / inventory
        if path.exists() and not path.samefile(deployment.project / deployment.inventory):
            raise Conflict(
                f"{timer.timer} exists already, for {inventory}",
                f"rename this inventory, or remove that timer first: make timer-off INVENTORY={shlex.quote(inventory)}",
            )
    if other and other != deployment.project and (other / "deploy.py").exists():
        raise Conflict(
            f"{timer.timer} exists already, for the project in {other}",
            f"rename this inventory, or remove that timer first: make -C {shlex.quote(str(other))} "
            f"timer-off INVENTORY={shlex.quote(deployment.inventory)}",
        )


def _read_settings(inventory: str) -> Settings:
    # pyinfra's command line patches the standard library, which only a process of its own bears.
    from tasks.settings.inventory import read  # noqa: PLC0415

    try:
        return read(inventory)[1].settings
    except SettingsError as error:
        raise Conflict("\n  ".join(error.problems), "correct that and run again") from None
