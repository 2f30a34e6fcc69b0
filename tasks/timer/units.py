"""The timer on the controller: which units and files it is made of, and what stands in them."""

from __future__ import annotations

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
    """One inventory's timer: units of the system for root, or of the user's own manager.

    A user needs no rights for the latter, and what a run needs (keys, `state/`) is that user's. `name` is the units'
    instance name, `units` the folder that systemd reads, `folder` ours, with the script and what the runs came to.
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
        """The unit that tells of a failure."""
        return f"homelab-registry-failed@{self.name}.service"

    @property
    def script(self) -> Path:
        """What both services run. Not in the project: that the project is gone is to be told as well."""
        return self.folder / "timer.sh"

    @property
    def failed(self) -> Path:
        """What was told of the last run; there only if it failed."""
        return self.folder / "failed"

    @property
    def succeeded(self) -> Path:
        """As old as the last run that went well."""
        return self.folder / "succeeded"

    @property
    def motd(self) -> Path | None:
        """What is shown at login after a failure; only root may have that."""
        return MOTD / f"homelab-registry-{self.name}" if self.system else None

    @property
    def stamp(self) -> Path:
        """As old as the last run; systemd's own, for `Persistent=` (systemd.timer(5))."""
        return self.folder.parent.parent / "systemd/timers" / f"stamp-{self.timer}"

    @property
    def systemctl(self) -> str:
        """systemctl as a user types it."""
        return "systemctl" if self.system else "systemctl --user"


@dataclass(frozen=True)
class Deployment:
    """What the timer runs, and how often; `program` is told of a failure. `inventory` is as pyinfra is given it."""

    project: Path
    inventory: str
    every: str
    program: str | None


def timer(inventory: str, user: int, home: Path) -> Timer:
    """Return the timer of an inventory for the user with that number and home."""
    name = escape(Path(inventory).stem)
    if user == 0:
        return Timer(name, True, UNITS, FOLDERS / name)
    return Timer(
        name, False, home / ".config/systemd/user", home / ".local/share/homelab-registry-timer" / name
    )


def escape(text: str) -> str:
    """Return a text as it may stand in a unit's name, a different one for each (systemd.unit(5), "String Escaping").

    A hyphen stays: it would only matter to who takes the name for a path.
    """
    return re.sub(
        r"[^\w:.-]|^\.",
        lambda found: "".join(f"\\x{byte:02x}" for byte in found[0].encode()),
        text,
        flags=re.ASCII,
    )


def render(timer: Timer, deployment: Deployment, templates: str) -> dict[Path, str]:
    """Return the text of each file by its path."""
    # Each value goes through the filter of its place.
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
    """Return the project's folder that a script was written for; None where it is none of ours."""
    found = re.search(r"^project=(.*)\ninventory=", script, re.MULTILINE)
    return Path(*shlex.split(found[1])) if found else None


def steps(wanted: Mapping[Path, str], found: Mapping[Path, str | None]) -> dict[Path, str]:
    """Return why each file is to be written, for those that are."""
    return {
        path: "it is missing" if found[path] is None else "its content is not as it should be"
        for path, text in wanted.items()
        if found[path] != text
    }


def _word(path: Path) -> str:
    """Return a path as one word of a command (systemd.service(5), "Command Lines")."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"'
