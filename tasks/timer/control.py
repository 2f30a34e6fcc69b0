"""A systemd timer on the controller that runs `deploy.py` and reports failures: `make timer`, `make timer-off`."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from tasks.problem import Problem
from tasks.remote.steps import Conflict
from tasks.run import output
from tasks.run.context import ROOT
from tasks.timer import files, status, systemd, trust, units
from tasks.timer.deployment import check_not_foreign, read_deployment
from tasks.timer.units import Timer, timer_for
from tasks.verbs import with_inventory

HERE = "controller"
"""What the steps are taken on."""


def main(arguments: list[str]) -> int:
    """Switch the timer of an inventory on or off; return the exit code."""
    parser = argparse.ArgumentParser(prog="tasks.timer", description=__doc__)
    parser.add_argument("action", choices=["on", "off"])
    parser.add_argument("inventory")
    given = parser.parse_args(arguments)
    try:
        return switch_on(given.inventory) if given.action == "on" else switch_off(given.inventory)
    except Problem as problem:
        _show_failure("Not finished:", with_inventory(str(problem), given.inventory))
    except OSError as error:
        _show_failure(
            "Not finished:", f"{error.filename} cannot be used: {error.strerror}; fix that and run again"
        )
    return 1


def switch_on(inventory: str) -> int:
    """Write and enable the units if they differ from what they should be, and prove with a run that they work."""
    _check_systemd(inventory)
    timer, deployment = timer_for(inventory), read_deployment(inventory)
    output.start_moving_line()
    if timer.system:
        trust.check(deployment, Path(inventory).absolute())
    wanted = units.render(timer, deployment, str(ROOT / "templates"))
    found = {path: files.read(path) for path in wanted}
    check_not_foreign(timer, deployment, found[timer.script])
    if not timer.system:
        _linger()
    steps = units.steps(wanted, found)
    for path, reason in steps.items():
        with _step(f"write {path}: {reason}"):
            files.write(path, wanted[path])
    systemd.reload_changed(timer)
    if states := systemd.not_enabled(timer):
        with _step(f"enable {timer.timer}: it is {states}"):
            systemd.enable(timer)
    if steps or timer.failed.exists() or not timer.succeeded.exists():
        return _try(timer)
    _show(f"Nothing to do: {status.summary(timer)}.")
    return 0


def switch_off(inventory: str) -> int:
    """Remove all that `switch_on` and the timer's runs made. The inventory itself may be gone."""
    _check_systemd(inventory)
    timer = timer_for(inventory)
    if not any(path.exists() for path in files.all_paths(timer)):
        _show(f"Nothing to do: there is no timer for {inventory}.")
        return 0
    if systemd.state(timer, timer.service) == "activating":
        raise Conflict(
            f"the timer's run for {inventory} is under way",
            f"wait for its end, or {timer.systemctl} stop {shlex.quote(timer.service)}, and run again",
        )
    with _step(f"disable {timer.timer}"):
        systemd.disable(timer)
    for path in filter(Path.exists, files.all_paths(timer)):
        with _step(f"remove {path}"):
            files.remove(timer, path)
    systemd.forget(timer)
    _show(f"The timer for {inventory} is gone.")
    if not timer.system:
        user = systemd.user()
        _show(
            f"  Lingering is still enabled for {user}; if nothing else needs it: loginctl disable-linger {user}"
        )
    return 0


def _check_systemd(inventory: str) -> None:
    if not systemd.FOLDER.is_dir():
        command = f"cd {shlex.quote(str(ROOT))} && .venv/bin/pyinfra -y {shlex.quote(inventory)} deploy.py"
        raise Conflict(
            "this machine does not run systemd, so it has no timers",
            f"use cron, which mails the output; the line for crontab -e: 17 4 * * 1 {command}",
        )


def _linger() -> None:
    if not systemd.lingers():
        user = systemd.user()
        with _step(f"enable lingering for {user}: without it the timer stops when {user} logs out"):
            systemd.enable_linger()
    systemd.wait_for_user_manager()


def _try(timer: Timer) -> int:
    """Run the service once, as the timer will: nothing else proves that a run without a terminal goes well."""
    _show(f"  To watch the run that follows: {systemd.journal(timer)}")
    before = files.modified(timer.failed)
    try:
        with _step(f"run {timer.service} once: the timer will run it so, without a terminal"):
            systemd.start(timer)
    except Conflict as failure:
        _wait_for_notice(timer, before, failure)
        _show_failure(
            "The timer is on, but its run failed:",
            *timer.failed.read_text().splitlines(),
            "It has no terminal and no ssh-agent: a key that it needs must be a file without a passphrase.",
        )
        return 1
    _show(
        f"The timer is on: {status.summary(timer)}.",
        f"  A failed run is reported to {status.recipients(timer)}, by the next run, and by make verify.",
    )
    return 0


def _wait_for_notice(timer: Timer, before: int | None, failure: Conflict) -> None:
    """Wait until a failed run is reported; raise `failure` after a minute."""
    end = time.monotonic() + 60
    # systemd starts the notice when the run has failed, and does not wait for it.
    while (
        files.modified(timer.failed) in {None, before} or systemd.state(timer, timer.notice) == "activating"
    ):
        if time.monotonic() > end:
            raise failure
        time.sleep(0.1)


@contextmanager
def _step(text: str) -> Iterator[None]:
    """Take a step in this block, and print it as a run prints its own."""
    mark: output.Mark = "x"
    begun = time.monotonic()
    try:
        with output.under_way(f"[{HERE}] {text}"):
            yield
        mark = "+"
    finally:
        output.write(mark, HERE, output.with_time(text, time.monotonic() - begun))


def _show(*lines: str) -> None:
    for line in lines:
        click.echo(line, err=True)


def _show_failure(headline: str, *lines: str) -> None:
    _show("", click.style(headline, "red", bold=True), *(f"  {line}" for line in lines))
