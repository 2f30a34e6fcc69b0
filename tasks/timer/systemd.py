"""Calls of systemctl and loginctl on this machine."""

from __future__ import annotations

import os
import pwd
import shlex
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tasks.remote.steps import Conflict
from tasks.timer.units import Timer

FOLDER = Path("/run/systemd/system")
"""Exists if systemd runs the machine (sd_booted(3))."""

LINGER = Path("/var/lib/systemd/linger")


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command without a terminal; exit code 127 if there is no such program."""
    # `su` and `sudo -u` leave a user without it.
    runtime: Mapping[str, str] = {"XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}"}
    try:
        return subprocess.run(
            command, env={**runtime, **os.environ, "LC_ALL": "C"}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, "", f"there is no {command[0]}")


def systemctl(timer: Timer, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call systemctl for the manager that the timer's units belong to."""
    return run([*timer.systemctl.split(), *arguments])


def state(timer: Timer, unit: str) -> str:
    """Return a unit's state, for example `active`, `inactive` or `activating`."""
    return systemctl(timer, "is-active", unit).stdout.strip()


def next_run(timer: Timer) -> str:
    """Return when the timer runs next, as systemd writes it."""
    return systemctl(timer, "show", "--value", "-p", "NextElapseUSecRealtime", timer.timer).stdout.strip()


def reload_changed(timer: Timer) -> None:
    """Have systemd read units that changed on disk."""
    needs = systemctl(timer, "show", "--value", "-p", "NeedDaemonReload", *timer.all_units).stdout
    if "yes" in needs.split():
        systemctl(timer, "daemon-reload")


def not_enabled(timer: Timer) -> str | None:
    """Return the timer unit's two states unless it is enabled and active."""
    states = (systemctl(timer, "is-enabled", timer.timer).stdout.strip(), state(timer, timer.timer))
    return None if states == ("enabled", "active") else f"{states[0] or 'not enabled'}, {states[1]}"


def enable(timer: Timer) -> None:
    """Enable and start the timer; `Conflict` if systemd refuses."""
    done = systemctl(timer, "enable", "--now", timer.timer)
    if done.returncode:
        raise Conflict(f"{timer.timer} cannot be enabled", done.stderr.strip())


def start(timer: Timer) -> None:
    """Run the service once, to its end; `Conflict` if it fails."""
    done = systemctl(timer, "start", timer.service)
    if done.returncode:
        raise Conflict(f"{timer.service} failed: {done.stderr.strip()}", f"see {journal(timer)}")


def journal(timer: Timer) -> str:
    """Return the command that shows what the service prints."""
    return f"journalctl {'' if timer.system else '--user '}-fu {shlex.quote(timer.service)}"


def disable(timer: Timer) -> None:
    """Disable and stop the timer; `Conflict` if it is still active."""
    done = systemctl(timer, "disable", "--now", timer.timer)
    if state(timer, timer.timer) == "active":
        raise Conflict(f"{timer.timer} cannot be stopped", done.stderr.strip())


def forget(timer: Timer) -> None:
    """Have systemd forget units whose files were removed, and their failures."""
    systemctl(timer, "daemon-reload")
    systemctl(timer, "reset-failed", timer.service, timer.notice)


def user() -> str:
    """Return the name of the user who runs this."""
    return pwd.getpwuid(os.getuid()).pw_name


def lingers() -> bool:
    """Return whether systemd keeps this user's units running while nobody is logged in."""
    return (LINGER / user()).exists()


def enable_linger() -> None:
    """Have systemd keep this user's units running while nobody is logged in; `Conflict` without that right."""
    enable = ["loginctl", "--no-ask-password", "enable-linger", user()]
    if run(enable).returncode and run(["sudo", "-n", *enable]).returncode:
        raise Conflict(
            f"lingering cannot be enabled for {user()}",
            f"run loginctl enable-linger {user()} as root, then run again",
        )


def wait_for_user_manager() -> None:
    """Wait until this user's manager answers; `Conflict` after 30 seconds."""
    end = time.monotonic() + 30
    while run(["systemctl", "--user", "show-environment"]).returncode:
        if time.monotonic() > end:
            raise Conflict(
                f"systemd does not start a user manager for {user()}", "see systemctl status user@$(id -u)"
            )
        time.sleep(0.1)
