"""Whether the controller's clock can be right, given what the state says of itself.

Only moments that are in the files count. A file's modification time says when it was copied or put back.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tasks.accounts.passwords import FormerPassword
from tasks.certificates.ca import BACKDATE, KeyPair
from tasks.state.files import StateError
from tasks.state.store import State

TOLERANCE = BACKDATE
"""How far the clock may be behind: by so much, certificates are valid before they are made."""


def check(state: State, folder: Path, today: str | None, now: dt.datetime) -> None:
    """Raise `StateError` if `now` is before the newest moment in the state, since one of both must be wrong.

    `today` (`registry_today`, an ISO date) is a person's word for the date. It must agree with the clock to a day, as
    they may live in any time zone; the clock is then right, and it was ahead when the state was written.
    """
    if today:
        if abs(dt.date.fromisoformat(today) - now.date()) > dt.timedelta(days=1):
            raise StateError(
                f"registry_today is {today}, but this machine's clock says {now:%Y-%m-%d %H:%M} UTC",
                "set the clock (timedatectl set-ntp true) or correct the date, and run again",
            )
        return
    moment, what = max(_moments(state), default=(now, ""))
    if now < moment - TOLERANCE:
        raise StateError(
            f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC, but {folder}/{what} is from "
            f"{moment:%Y-%m-%d %H:%M} UTC",
            "set the clock (timedatectl set-ntp true) and run again; or, if it is right now and was ahead then, run "
            f"make deploy DATA=registry_today={now:%Y-%m-%d}",
        )


def corrected(state: State, now: dt.datetime) -> State:
    """Return the state without moments in the future: grace periods and overlaps count from them."""
    former = {name: _not_after(each, now) for name, each in state.former.items()}
    successor = state.successor
    if successor and successor.issuing_since and successor.issuing_since > now.date():
        successor = replace(successor, issuing_since=now.date())
    return replace(state, former=former, successor=successor)


def _not_after(former: FormerPassword, now: dt.datetime) -> FormerPassword:
    updated = former.kubelet_updated
    return replace(former, since=min(former.since, now), kubelet_updated=updated and min(updated, now))


def _moments(state: State) -> Iterator[tuple[dt.datetime, str]]:
    """Yield each moment at which something in the state was made, and the file that says so."""
    cas = [state.authority, state.successor.ca if state.successor else None]
    for ca in filter(None, cas):
        yield _made(ca), f"authorities/{ca.fingerprint[:16]}/ca.crt"
    if state.leaf:
        yield _made(state.leaf), "leaf.pem"
    for each in state.former.values():
        yield max(each.since, each.kubelet_updated or each.since), "former.json"
    if state.successor and state.successor.issuing_since:
        day = dt.datetime.combine(state.successor.issuing_since, dt.time(), dt.UTC)
        yield day, f"authorities/{state.successor.ca.fingerprint[:16]}/rollover.json"


def _made(pair: KeyPair) -> dt.datetime:
    return pair.certificate.not_valid_before_utc + BACKDATE
