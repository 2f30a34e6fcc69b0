"""What a timer runs: an inventory of this project, with the settings that the timer needs."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from tasks.remote.steps import Conflict
from tasks.run.context import ROOT
from tasks.settings.load import Settings, SettingsError, configure
from tasks.timer.units import Deployment, Timer, project_of


def read_deployment(inventory: str) -> Deployment:
    """Read an inventory's settings; `Conflict` if a run of the timer with them could not go well."""
    settings = _read_settings(inventory)
    path = Path(inventory).absolute()
    if not str(path).isprintable():
        raise Conflict("the inventory's path has characters that cannot be printed", "rename it")
    state, program = ROOT / settings.registry_state_dir, settings.registry_timer_program
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
    """Raise `Conflict` if another project that still exists has this timer, for an inventory of the same name."""
    other = project_of(script or "")
    if other and other != deployment.project and (other / "deploy.py").exists():
        raise Conflict(
            f"{timer.timer} exists already, for the project in {other}",
            f"rename this inventory, or remove that timer first: make -C {shlex.quote(str(other))} "
            f"timer-off INVENTORY={shlex.quote(deployment.inventory)}",
        )


def _read_settings(inventory: str) -> Settings:
    # pyinfra's command line patches the standard library, which only a process of its own bears.
    from tasks.settings.inventory import load  # noqa: PLC0415

    try:
        _, sources = load(inventory, {})
        return configure(sources).settings
    except ValueError as error:
        raise Conflict(str(error), "correct that and run again") from None
    except SettingsError as error:
        raise Conflict("\n    ".join(error.problems), "correct that and run again") from None
