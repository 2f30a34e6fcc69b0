"""The timer on the controller: its units and files, their names and their content."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.remote.templates import environment

UNITS = Path("/etc/systemd/system")
FOLDERS = Path("/var/lib/homelab-registry-timer")
MOTD = Path("/etc/motd.d")
"""Shown at every login by pam_motd(8), 1.3.1 and later."""


@dataclass(frozen=True)
class Timer:
    """One inventory's timer: system units for root, units of the user's own manager for anyone else.

    The latter need no rights, and all that a run needs (keys, `state/`) is that user's. `name` is the units' instance
    name, `units` the folder that systemd reads, `folder` the one with the script and the results of its runs.
    """

    name: str
    system: bool
    units: Path
    folder: Path

    @property
    def timer(self) -> str:
        """The timer unit."""
        return f"homelab-registry@{self.name}.timer"

    @property
    def service(self) -> str:
        """The unit that runs `deploy.py`."""
        return f"homelab-registry@{self.name}.service"

    @property
    def notice(self) -> str:
        """The unit that reports a failure."""
        return f"homelab-registry-failed@{self.name}.service"

    @property
    def is_made(self) -> bool:
        """Whether `make timer` made it."""
        return (self.units / self.timer).exists()

    @property
    def all_units(self) -> list[str]:
        """The three units."""
        return [self.timer, self.service, self.notice]

    @property
    def script(self) -> Path:
        """What both services run. Not in the project's folder: it also has to report that the project is gone."""
        return self.folder / "timer.sh"

    @property
    def failed(self) -> Path:
        """The report of the last run; exists only if that failed."""
        return self.folder / "failed"

    @property
    def succeeded(self) -> Path:
        """Written when a run went well; its modification time is that of the last one."""
        return self.folder / "succeeded"

    @property
    def motd(self) -> Path | None:
        """What is shown at login after a failure; only root can write there."""
        return MOTD / f"homelab-registry-{self.name}" if self.system else None

    @property
    def stamp(self) -> Path:
        """Written by systemd at each run, for `Persistent=` (systemd.timer(5))."""
        return self.folder.parent.parent / "systemd/timers" / f"stamp-{self.timer}"

    @property
    def systemctl(self) -> str:
        """The systemctl command, as a user types it."""
        return "systemctl" if self.system else "systemctl --user"


@dataclass(frozen=True)
class Deployment:
    """What the timer runs and how often; `program` gets the report of a failure. `inventory` is pyinfra's argument."""

    project: Path
    inventory: str
    every: str
    program: str | None


def timer_for(inventory: str) -> Timer:
    """Return the timer that this user has, or would have, for an inventory."""
    return timer_of(inventory, os.getuid(), Path.home())


def timer_of(inventory: str, uid: int, home: Path) -> Timer:
    """Return the timer of an inventory for the user with that id and home."""
    name = escape(Path(inventory).stem)
    if uid == 0:
        return Timer(name, True, UNITS, FOLDERS / name)
    return Timer(
        name, False, home / ".config/systemd/user", home / ".local/share/homelab-registry-timer" / name
    )


def escape(text: str) -> str:
    """Escape a text for a unit's name, each to a different one (systemd.unit(5), "String Escaping").

    A hyphen stays: it only matters if the name is read as a path.
    """
    return re.sub(
        r"[^\w:.-]|^\.",
        lambda found: "".join(f"\\x{byte:02x}" for byte in found[0].encode()),
        text,
        flags=re.ASCII,
    )


def render(timer: Timer, deployment: Deployment, templates: str) -> dict[Path, str]:
    """Return the text of each file by its path."""
    # Each place in a template names the filter that its value needs.
    jinja = environment(templates)
    jinja.filters |= {
        "quoted": lambda value: shlex.quote(str(value or "")),
        "unit": lambda value: str(value).replace("%", "%%"),
        "word": _word,
    }
    values: Mapping[str, object] = {
        "timer": timer,
        "folder": timer.folder,
        "motd": timer.motd,
        **vars(deployment),
    }
    places = {
        "timer.sh.j2": timer.script,
        "timer-failed.service.j2": timer.units / timer.notice,
        "timer.service.j2": timer.units / timer.service,
        "timer.timer.j2": timer.units / timer.timer,
    }
    return {path: jinja.get_template(name).render(values) for name, path in places.items()}


def project_of(script: str) -> Path | None:
    """Return the project's folder that a script was written for, or None if `make timer` did not write it."""
    found = re.search(r"^project=(.*)\ninventory=", script, re.MULTILINE)
    return Path(*shlex.split(found[1])) if found else None


def inventory_of(script: str) -> str:
    """Return the inventory that a script was written for, as pyinfra's argument; empty if it is none of ours."""
    found = re.search(r"^project=.*\ninventory=(.*)$", script, re.MULTILINE)
    return "".join(shlex.split(found[1])) if found else ""


def steps(wanted: Mapping[Path, str], found: Mapping[Path, str | None]) -> dict[Path, str]:
    """Return the files to write, each with the reason."""
    return {
        path: "it is missing" if found[path] is None else "its content is not as it should be"
        for path, text in wanted.items()
        if found[path] != text
    }


def _word(path: Path) -> str:
    """Quote a path as one word of a command (systemd.service(5), "Command Lines")."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"'
