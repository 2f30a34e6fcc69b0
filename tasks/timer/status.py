"""What a timer's runs came to: what `make timer` and every later run say about it."""

from __future__ import annotations

import os
import shutil
from datetime import datetime

from tasks.timer import systemd
from tasks.timer.units import Timer, timer_for


def find_problem(inventory: str) -> str | None:
    """Return in one line what is wrong with an inventory's timer; None if nothing is, or if there is no timer.

    A failure stays until a run of the timer itself goes well: other runs have a terminal, or an ssh-agent.
    """
    timer = timer_for(inventory)
    try:
        first, *_ = timer.failed.read_text().splitlines() or [""]
    except FileNotFoundError:
        pass
    else:
        return f"{first.rstrip('.')}: see {timer.failed}; fix that, then run make timer"
    if not timer.is_made:
        return None
    if (timer.system or systemd.lingers()) and systemd.state(timer, timer.timer) == "active":
        return None
    return f"the timer {timer.timer} exists but is not active; run make timer"


def summary(timer: Timer) -> str:
    """Return when the timer ran last, which went well, and when it runs next."""
    last = datetime.fromtimestamp(timer.succeeded.stat().st_mtime).astimezone()
    return f"its last run, {last:%Y-%m-%d %H:%M}, went well; the next is on {systemd.next_run(timer)}"


def recipients(timer: Timer) -> str:
    """Return who gets the report of a failed run, and how."""
    found = ["users who are logged in then (wall)"] if shutil.which("wall") else []
    found += ["users who log in later (motd)"] if timer.system else []
    found += [f"{systemd.user()} by mail"] if shutil.which("sendmail", path=f"{os.defpath}:/usr/sbin") else []
    found += ["registry_timer_program"] if "\nprogram=''\n" not in timer.script.read_text() else []
    return ", ".join(found) or "nobody (set registry_timer_program)"
