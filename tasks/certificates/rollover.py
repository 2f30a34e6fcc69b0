"""A CA rollover: replace the certificate authority with a successor, without cutting off any client.

    stage         hosts trust   the leaf is issued by   the server sends after the leaf
    (none)        the CA        the CA                  nothing
    distributing  both CAs      the old CA              nothing
    overlap       both CAs      the new CA              the cross-certificate (the new CA's key, signed by the old CA)
    retiring      the new CA    the new CA              the cross-certificate
    (none)        the CA        the CA                  nothing
    abandoned     the old CA    the old CA              nothing

A run in which every host was finished ends "distributing", and later "retiring". "overlap" ends on a date. A successor
that is not valid yet, since the clock was ahead when it was made, is abandoned, and one run ends that. The stage is
computed from the stored successor and the time, so that any run continues where an earlier one was killed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from cryptography import x509

from tasks.certificates import ca
from tasks.certificates.ca import AuthorityError, KeyPair
from tasks.certificates.name_constraints import not_permitted
from tasks.certificates.renewal import renewal_time

Stage = Literal["distributing", "overlap", "retiring", "abandoned"]

WARN_DAYS = 365
"""Every run warns if the CA expires within so many days."""

FAIL_DAYS = 90
"""The verification and the timer's runs fail if the CA in use expires within so many days."""


@dataclass(frozen=True)
class Successor:
    """The CA that replaces another, and how far the rollover is.

    `cross_certificate` is its key, signed by the old CA; None if the old CA had expired. `issuing_since` is the day
    (UTC) from which it issues the leaf, None before. `retiring_old` means that hosts are to trust this CA only.
    """

    ca: KeyPair
    cross_certificate: x509.Certificate | None = None
    issuing_since: dt.date | None = None
    retiring_old: bool = False


@dataclass(frozen=True)
class Authorities:
    """The certificate authority and, during a rollover, its successor, at one moment.

    During a rollover `present` is the old CA. `overlap_ends` is the day from which a run retires it, None outside of
    the overlap or if not known. `invalid` says why no client accepts `present` any more, or yet.
    """

    present: KeyPair
    successor: Successor | None = None
    stage: Stage | None = None
    overlap_ends: dt.date | None = None
    invalid: str | None = None

    @property
    def latest(self) -> KeyPair:
        """The new CA during a rollover, otherwise the only one."""
        return self.successor.ca if self.successor else self.present

    @property
    def issuer(self) -> KeyPair:
        """The CA that issues the leaf."""
        return self.present if self.stage in {"distributing", "abandoned"} else self.latest

    @property
    def chain(self) -> str:
        """The PEM text that the server sends after the leaf, for clients that trust only the old CA."""
        if self.successor is None or self.successor.cross_certificate is None or self.invalid:
            return ""
        return "" if self.issuer is self.present else ca.to_pem(self.successor.cross_certificate)

    @property
    def ca_bundle(self) -> str:
        """The CA certificates that hosts are to trust, as PEM text.

        The new CA comes last. Trust stores with one CA per numbered file write these files in order and then remove
        those left over: in this order they never lack the CA that issues the leaf.
        """
        if self.stage in {"distributing", "overlap"}:
            return self.present.certificate_pem + self.latest.certificate_pem
        return (self.present if self.stage == "abandoned" else self.latest).certificate_pem

    def postponed_names(self, names: Iterable[str]) -> list[str]:
        """Return those of `names` that the leaf gets only once the old CA, which does not permit them, is retired.

        With one such name in the leaf, clients that trust only the old CA would reject it for every name.
        """
        if self.successor is None or self.invalid:
            return []
        return not_permitted(self.present.certificate, names)

    def names_for_leaf(self, names: Iterable[str]) -> list[str]:
        """Return those of `names` that the leaf may have now.

        Raise `AuthorityError` if the new CA does not permit a name either, or if none is left.
        """
        names = list(names)
        if self.successor and (excluded := not_permitted(self.latest.certificate, names)):
            raise AuthorityError(
                f"{', '.join(excluded)}: not permitted by the name constraints of the new certificate authority",
                "retire the old one (make retire-ca), then make another (make rotate-ca)",
            )
        postponed = self.postponed_names(names)
        if len(postponed) == len(names):
            raise AuthorityError(
                f"{', '.join(postponed)}: not permitted by the name constraints of the old certificate authority, and "
                "until that is retired the registry's certificate needs a name that it permits",
                "keep one of the old names in registry_extra_names",
            )
        return [name for name in names if name not in postponed]


def stage_at(
    present: KeyPair, successor: Successor | None, overlap_days: int | None, now: dt.datetime
) -> Authorities:
    """Return the authorities and the rollover's stage at `now`.

    With `overlap_days` None the overlap lasts until a run has stored its end, whatever the date.
    """
    end = present.certificate.not_valid_after_utc
    invalid = ca.why_invalid(present.certificate, now)
    if successor is None:
        return Authorities(present, invalid=invalid)
    if now < successor.ca.certificate.not_valid_before_utc:
        return Authorities(present, successor, "abandoned", invalid=invalid)
    if successor.retiring_old or invalid:
        return Authorities(present, successor, "retiring", invalid=invalid)
    if successor.issuing_since is None:
        return Authorities(present, successor, "distributing")
    if overlap_days is None:
        return Authorities(present, successor, "overlap")
    overlap_ends = min(successor.issuing_since + dt.timedelta(days=overlap_days), end.date())
    if now.date() >= overlap_ends:
        return Authorities(present, successor, "retiring")
    return Authorities(present, successor, "overlap", overlap_ends)


def make_successor(present: KeyPair, names: Iterable[str], days: int, now: dt.datetime) -> Successor:
    """Make a successor for `names`, valid for `days`. If `present` is not valid, it replaces that at once."""
    new = ca.make_authority(names, days, now)
    if ca.why_invalid(present.certificate, now):
        return Successor(new, None, now.date(), retiring_old=True)
    return Successor(new, ca.cross_sign(present, new, now))


def describe_progress(authorities: Authorities) -> str | None:
    """Return in one line what a rollover still waits for, None if there is no rollover."""
    match authorities.stage:
        case "distributing":
            return "the new certificate authority is not in use yet: it is once one run has installed it on every host"
        case "overlap":
            ends = authorities.overlap_ends
            until = f" until {ends}, when the next run retires it; " if ends else "; "
            return (
                "the new certificate authority is in use, and hosts still trust the old one"
                f"{until}make retire-ca retires it at once"
            )
        case "retiring":
            return "the old certificate authority is deleted once one run has removed it from every host"
        case "abandoned":
            return (
                "the new certificate authority, which is not valid yet, is deleted once a run has finished the "
                "registry host; after that, make rotate-ca makes another"
            )
    return None


def expiry_warning(authorities: Authorities, now: dt.datetime) -> str | None:
    """Return in one line that the CA expires soon and what to do, None if it does not."""
    end = authorities.latest.certificate.not_valid_after_utc
    left = (end - now).days
    if left > WARN_DAYS:
        return None
    return f"the certificate authority expires on {end:%Y-%m-%d} ({left} days left): run make rotate-ca"


def expiry_problem(
    authorities: Authorities, leaf: x509.Certificate, renew_before_days: int, now: dt.datetime
) -> str | None:
    """Return why nothing would be valid before long unless a person does something, None if no one has to.

    A CA that was made for a short life is given its last third.
    """
    certificate = authorities.issuer.certificate
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if end - now < min(dt.timedelta(days=FAIL_DAYS), (end - begin) / 3):
        return f"the certificate authority in use expires on {end:%Y-%m-%d} ({(end - now).days} days left)"
    end = leaf.not_valid_after_utc
    if end - now < dt.timedelta(days=FAIL_DAYS) and now >= renewal_time(leaf, renew_before_days):
        return f"the registry's certificate expires on {end:%Y-%m-%d} and could not be renewed"
    return None
