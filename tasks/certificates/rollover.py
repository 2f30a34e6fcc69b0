"""A CA rollover: a successor takes the place of the certificate authority, and no client is cut off on the way.

    stage      hosts trust   the leaf is issued by   sent behind the leaf
    (none)     the CA        the CA                  nothing
    spreading  both          the old one             nothing
    overlap    both          the new one             the new one's key, certified by the old one
    retiring   the new one   the new one             the same
    (none)     the CA        the CA                  nothing

From spreading to overlap, and from retiring to its end, leads a run in which every host was finished. The stage follows
from what is kept of the successor and from the time, so that any run carries on where another one was killed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from cryptography import x509

from tasks.certificates import ca
from tasks.certificates.ca import AuthorityError, Pair

Stage = Literal["spreading", "overlap", "retiring"]

WARN_DAYS = 365
"""How long before a CA's end every run says so."""

FAIL_DAYS = 90
"""How long before its end the verification fails."""


@dataclass(frozen=True)
class Successor:
    """The CA that is to take the place of another.

    `cross` certifies its key by the old one, None where that had run out. `switched` is the day (UTC) on which it was
    decided that it issues the leaf, None before; `retiring` that hosts trust it alone.
    """

    pair: Pair
    cross: x509.Certificate | None = None
    switched: dt.date | None = None
    retiring: bool = False


@dataclass(frozen=True)
class Authorities:
    """The certificate authority and, during a rollover, its successor, as they are at a moment.

    `present` is the old one then. `until` is the day from which a run retires it, known during the overlap. `ran_out`
    tells that it is beyond its end: nobody has any use for it.
    """

    present: Pair
    successor: Successor | None = None
    stage: Stage | None = None
    until: dt.date | None = None
    ran_out: bool = False

    @property
    def latest(self) -> Pair:
        """The one that stays."""
        return self.successor.pair if self.successor else self.present

    @property
    def issuer(self) -> Pair:
        """The one that issues the leaf."""
        return self.present if self.stage == "spreading" else self.latest

    @property
    def chain(self) -> str:
        """What is sent behind the leaf, as PEM text: clients that know the old one alone connect by it."""
        if self.successor is None or self.successor.cross is None or self.ran_out:
            return ""
        return "" if self.stage == "spreading" else ca.pem(self.successor.cross)

    @property
    def trusted(self) -> str:
        """The certificates that hosts are to trust, as PEM text.

        The new one is last as long as there are two: files that hold one each then never lack the one that serves.
        """
        if self.stage in {"spreading", "overlap"}:
            return self.present.certificate_pem + self.latest.certificate_pem
        return self.latest.certificate_pem

    def to_come(self, names: Iterable[str]) -> list[str]:
        """Return those of `names` that come into the leaf when the old CA, which may not vouch for them, is retired.

        With one such name in it, clients that know the old one alone would refuse the leaf for every name.
        """
        if self.successor is None or self.ran_out:
            return []
        return ca.outside_constraints(self.present.certificate, names)

    def servable(self, names: Iterable[str]) -> list[str]:
        """Return those of `names` that the leaf may be for now.

        Raises `AuthorityError` where a name is beyond what the new CA may vouch for too, or none is left.
        """
        names = list(names)
        if self.successor and (outside := ca.outside_constraints(self.latest.certificate, names)):
            raise AuthorityError(
                f"{', '.join(outside)}: outside what the new certificate authority may vouch for",
                "retire the old one (deploys/retire_ca.py), then make another (deploys/rotate_ca.py)",
            )
        later = self.to_come(names)
        if len(later) == len(names):
            raise AuthorityError(
                f"{', '.join(later)}: outside what the old certificate authority may vouch for, and no other name is "
                "left for the time until it is retired",
                "keep one of the old names in registry_extra_names",
            )
        return [name for name in names if name not in later]


def stage_at(
    present: Pair, successor: Successor | None, overlap_days: int | None, now: dt.datetime
) -> Authorities:
    """Return what holds at `now`; with `overlap_days` None as it was decided, though the overlap may be over."""
    end = present.certificate.not_valid_after_utc
    if successor is None:
        return Authorities(present, ran_out=now >= end)
    if successor.retiring or now >= end:
        return Authorities(present, successor, "retiring", ran_out=now >= end)
    if successor.switched is None:
        return Authorities(present, successor, "spreading")
    if overlap_days is None:
        return Authorities(present, successor, "overlap")
    until = min(successor.switched + dt.timedelta(days=overlap_days), end.date())
    if now.date() >= until:
        return Authorities(present, successor, "retiring")
    return Authorities(present, successor, "overlap", until)


def succeed(present: Pair, names: Iterable[str], days: int, now: dt.datetime) -> Successor:
    """Make a successor that can vouch for `names`. For a CA that has run out it serves, and stands alone, at once."""
    pair = ca.make_authority(names, days, now)
    if now >= present.certificate.not_valid_after_utc:
        return Successor(pair, None, now.date(), retiring=True)
    return Successor(pair, ca.make_cross(present, pair, now))


def pending(found: Authorities) -> str | None:
    """Return what is still to come of a rollover, in one line; None where none is under way."""
    match found.stage:
        case "spreading":
            return "the new certificate authority does not serve yet: it does when one run has given it to every host"
        case "overlap":
            until = f"until {found.until}, when any run retires it; " if found.until else ""
            return (
                f"the new certificate authority serves, and the old one is trusted {until}"
                "deploys/retire_ca.py does so at once"
            )
        case "retiring":
            return "the old certificate authority is dropped when one run has taken it from every host"
    return None


def warning(found: Authorities, now: dt.datetime) -> str | None:
    """Return that the CA's end is near, and what to do, in one line."""
    end = found.latest.certificate.not_valid_after_utc
    left = (end - now).days
    if left > WARN_DAYS:
        return None
    return (
        f"the certificate authority runs out on {end:%Y-%m-%d} ({left} days left): run deploys/rotate_ca.py"
    )
