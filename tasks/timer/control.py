"""A systemd timer on the controller that runs `deploy.py` and tells of failures: `make timer`, `make timer-off`."""

from __future__ import annotations

import argparse
import os
import pwd
import shlex
import shutil
import subprocess
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from tasks.remote.steps import Conflict
from tasks.run.context import ROOT
from tasks.settings.load import Settings, SettingsError, configure
from tasks.timer import units as model
from tasks.timer.units import Deployment, Timer

SYSTEMD = Path("/run/systemd/system")
"""There where systemd runs the machine (sd_booted(3))."""

LINGER = Path("/var/lib/systemd/linger")


def main(arguments: list[str]) -> int:
    """Switch the timer of an inventory on or off; return the exit code."""
    parser = argparse.ArgumentParser(prog="tasks.timer.control", description=__doc__)
    parser.add_argument("action", choices=["on", "off"])
    parser.add_argument("inventory")
    given = parser.parse_args(arguments)
    try:
        return switch_on(given.inventory) if given.action == "on" else switch_off(given.inventory)
    except Conflict as conflict:
        _say(f"{conflict.problem}; {conflict.remedy}")
    except OSError as error:
        _say(f"{error.filename} cannot be used: {error.strerror}; fix that and run again")
    return 1


def switch_on(inventory: str) -> int:
    """Bring units and script to what they should be, and prove with a run that the timer's runs go well."""
    _check_systemd(inventory)
    timer, deployment = timer_for(inventory), _deployment(inventory)
    wanted = model.render(timer, deployment, str(ROOT / "templates"))
    found = {path: _read(path) for path in wanted}
    _check_project(timer, deployment, found[timer.script])
    if not timer.system:
        _linger()
    steps = model.steps(wanted, found)
    for path, reason in steps.items():
        _say(f"step: write {path}: {reason}")
        _write(path, wanted[path])
    _load(timer)
    if steps or timer.failed.exists() or not timer.succeeded.exists():
        return _try(timer)
    _say(f"Nothing is to be done: {_state(timer)}.")
    return 0


def switch_off(inventory: str) -> int:
    """Remove all that `switch_on` made, and what the runs left of themselves. The inventory need not be there."""
    _check_systemd(inventory)
    timer = timer_for(inventory)
    if not any(path.exists() for path in _files(timer)):
        _say(f"Nothing is to be done: there is no timer for {inventory}.")
        return 0
    if _systemctl(timer, "is-active", timer.service) == "activating":
        raise Conflict(
            f"the timer's run for {inventory} is under way",
            f"wait for its end, or {timer.systemctl} stop {shlex.quote(timer.service)}, and run again",
        )
    _say(f"step: disable {timer.timer}")
    done = _run([*timer.systemctl.split(), "disable", "--now", timer.timer])
    if _systemctl(timer, "is-active", timer.timer) == "active":
        raise Conflict(f"{timer.timer} cannot be stopped", done.stderr.strip())
    for path in filter(Path.exists, _files(timer)):
        _say(f"step: remove {path}")
        _remove(timer, path)
    _systemctl(timer, "daemon-reload")
    _systemctl(timer, "reset-failed", timer.service, timer.notice)
    if not timer.system:
        user = _user()
        _say(f"{user} still lingers; if nothing else of yours needs that: loginctl disable-linger {user}")
    return 0


def timer_for(inventory: str) -> Timer:
    """Return the timer that this user has, or would have, for an inventory."""
    return model.timer(inventory, os.getuid(), Path.home())


def complaint(inventory: str) -> str | None:
    """Return in one line what is wrong with an inventory's timer; None where it is well, or there is none.

    Where its last run failed, that stays so until one of its runs goes well: others have an agent, or a terminal.
    """
    timer = timer_for(inventory)
    again = f"make timer INVENTORY={inventory}"
    try:
        first, *_ = timer.failed.read_text().splitlines() or [""]
    except FileNotFoundError:
        pass
    else:
        return f"{first.rstrip('.')}: see {timer.failed}; when that is mended, {again} tries it again"
    stays = timer.system or (LINGER / _user()).exists()
    if (timer.units / timer.timer).exists() and not (
        stays and _systemctl(timer, "is-active", timer.timer) == "active"
    ):
        return f"the timer {timer.timer} is there, and is not on; {again} switches it on"
    return None


def _check_systemd(inventory: str) -> None:
    if not SYSTEMD.is_dir():
        command = f"cd {shlex.quote(str(ROOT))} && .venv/bin/pyinfra -y {shlex.quote(inventory)} deploy.py"
        raise Conflict(
            "systemd does not run this machine, so it has no timers",
            f"with cron, which mails what this prints, in crontab -e: 17 4 * * 1 {command}",
        )


def _deployment(inventory: str) -> Deployment:
    settings = _settings(inventory)
    path = Path(inventory).absolute()
    if not str(path).isprintable():
        raise Conflict("the inventory's path has characters that cannot be printed", "rename it")
    state, program = ROOT / settings.registry_state_dir, settings.registry_timer_program
    if state.exists() and state.stat().st_uid != os.getuid():
        raise Conflict(f"{state} is not this user's ({state.owner()})", f"run it as {state.owner()}")
    if program and not os.access(program, os.X_OK):
        raise Conflict(f"registry_timer_program = {program}: it cannot be run", "correct it, or chmod +x")
    given = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
    return Deployment(ROOT, given, settings.registry_timer, program)


def _settings(inventory: str) -> Settings:
    # pyinfra's command line patches the standard library, which only a process of its own bears.
    from tasks.settings.inventory import load  # noqa: PLC0415

    try:
        _, sources = load(inventory, {})
        return configure(sources).settings
    except ValueError as error:
        raise Conflict(str(error), "correct that and run again") from None
    except SettingsError as error:
        raise Conflict("\n    ".join(error.problems), "correct that and run again") from None


def _check_project(timer: Timer, deployment: Deployment, script: str | None) -> None:
    """Raise `Conflict` where another folder's inventory of the same name has this timer, and is still there."""
    other = model.project_of(script or "")
    if other and other != deployment.project and (other / "deploy.py").exists():
        raise Conflict(
            f"{timer.timer} is there for {other}",
            f"give this inventory another name, or take that one away first: make -C {shlex.quote(str(other))} "
            f"timer-off INVENTORY={shlex.quote(deployment.inventory)}",
        )


def _linger() -> None:
    """Have systemd keep this user's units running while nobody is logged in."""
    user = _user()
    if not (LINGER / user).exists():
        _say(f"step: let {user} linger: timers of a user would stop at logout")
        enable = ["loginctl", "--no-ask-password", "enable-linger", user]
        if _run(enable).returncode and _run(["sudo", "-n", *enable]).returncode:
            raise Conflict(
                f"{user} may not linger", f"as root: loginctl enable-linger {user}; then run again"
            )
    end = time.monotonic() + 30
    while _run(["systemctl", "--user", "show-environment"]).returncode:
        if time.monotonic() > end:
            raise Conflict(f"systemd runs no manager for {user}", "see systemctl status user@$(id -u)")
        time.sleep(0.1)


def _load(timer: Timer) -> None:
    units = [timer.timer, timer.service, timer.notice]
    if "yes" in _systemctl(timer, "show", "--value", "-p", "NeedDaemonReload", *units).split():
        _systemctl(timer, "daemon-reload")
    states = (_systemctl(timer, "is-enabled", timer.timer), _systemctl(timer, "is-active", timer.timer))
    if states != ("enabled", "active"):
        _say(f"step: enable {timer.timer}: it is {states[0] or 'not enabled'}, {states[1]}")
        done = _run([*timer.systemctl.split(), "enable", "--now", timer.timer])
        if done.returncode:
            raise Conflict(f"{timer.timer} cannot be enabled", done.stderr.strip())


def _try(timer: Timer) -> int:
    """Run the service once, as the timer will: nothing else proves that a run without a terminal goes well."""
    journal = f"journalctl {'' if timer.system else '--user '}-fu {shlex.quote(timer.service)}"
    _say(f"step: run {timer.service} once, as the timer will (to look on: {journal})")
    before = _written(timer.failed)
    done = _run([*timer.systemctl.split(), "start", timer.service])
    if done.returncode == 0:
        _say(f"The timer is on: {_state(timer)}.")
        _say(f"A run that fails is told to {_told(timer)}, by the next run, and by make verify.")
        return 0
    end = time.monotonic() + 60
    # systemd starts the notice when the run has failed, and does not wait for it.
    while (
        _written(timer.failed) in {None, before}
        or _systemctl(timer, "is-active", timer.notice) == "activating"
    ):
        if time.monotonic() > end:
            raise Conflict(f"{timer.service} failed: {done.stderr.strip()}", f"see {journal}")
        time.sleep(0.1)
    _say("The timer is on, but its run fails:", *timer.failed.read_text().splitlines())
    _say("(It has no terminal and no ssh-agent: a key that it needs must be a file without a passphrase.)")
    return 1


def _state(timer: Timer) -> str:
    following = _systemctl(timer, "show", "--value", "-p", "NextElapseUSecRealtime", timer.timer)
    last = datetime.fromtimestamp(timer.succeeded.stat().st_mtime).astimezone()
    return f"its last run, {last:%Y-%m-%d %H:%M}, went well; the next is on {following}"


def _told(timer: Timer) -> str:
    whom = ["who is logged in then (wall)"] if shutil.which("wall") else []
    whom += ["who logs in (motd)"] if timer.system else []
    whom += [f"{_user()} by mail"] if shutil.which("sendmail", path=f"{os.defpath}:/usr/sbin") else []
    whom += ["registry_timer_program"] if "\nprogram=''\n" not in timer.script.read_text() else []
    return ", ".join(whom) or "nobody (set registry_timer_program)"


def _files(timer: Timer) -> list[Path]:
    units = [timer.units / unit for unit in (timer.timer, timer.service, timer.notice)]
    return [*units, *([timer.motd] if timer.motd else []), timer.stamp, timer.folder]


def _remove(timer: Timer, path: Path) -> None:
    if path != timer.folder:
        path.unlink()
        return
    if timer.motd and (path / "made-motd.d").exists() and not any(timer.motd.parent.iterdir()):
        timer.motd.parent.rmdir()
    shutil.rmtree(path)
    if not any(path.parent.iterdir()):
        path.parent.rmdir()


def _read(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return None


def _written(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _write(path: Path, text: str) -> None:
    """Write a file by one rename: a run that is under way goes on with the script that it began with."""
    path.parent.mkdir(mode=0o700 if path.suffix == ".sh" else 0o755, parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.chmod(0o644)
    new.rename(path)


def _systemctl(timer: Timer, *arguments: str) -> str:
    return _run([*timer.systemctl.split(), *arguments]).stdout.strip()


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    # `su` and `sudo -u` leave a user without it.
    runtime: Mapping[str, str] = {"XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}"}
    try:
        return subprocess.run(
            command, env={**runtime, **os.environ, "LC_ALL": "C"}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        return subprocess.CompletedProcess(
            command, 127, "", f"there is no {command[0]}"
        )  # as a shell says it


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def _say(*lines: str) -> None:
    for line in lines:
        print(f"    {line}", flush=True)
