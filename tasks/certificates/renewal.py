"""When and why the registry's certificate (the leaf) is renewed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from cryptography import x509

from tasks.certificates.ca import issued_by, subject_alt_names, why_invalid


def renewal_reason(
    leaf: x509.Certificate,
    authority: x509.Certificate,
    names: Iterable[str],
    days: int,
    renew_before_days: int,
    now: dt.datetime,
) -> str | None:
    """Return why the leaf must be replaced by one for `names` that is valid for `days`, or None.

    It must be replaced if another CA issued it, if its names differ from `names`, if it is not valid yet, or if at most
    `renew_before_days` are left. The last applies only if the new leaf would expire later: at the end of a CA's life it
    would not.
    """
    if not issued_by(leaf, authority):
        return "it was issued by another certificate authority"
    present, wanted = set(subject_alt_names(leaf)), set(names)
    if present != wanted:
        changes = [f"removed: {name}" for name in sorted(present - wanted)]
        changes += [f"added: {name}" for name in sorted(wanted - present)]
        return f"its names have changed ({', '.join(changes)})"
    if now < leaf.not_valid_before_utc:
        return f"it {why_invalid(leaf, now)}"
    end = leaf.not_valid_after_utc
    expires_later = min(now + dt.timedelta(days=days), authority.not_valid_after_utc) > end
    if expires_later and now >= renewal_time(leaf, renew_before_days):
        return f"it {'expires' if now <= end else 'expired'} on {end:%Y-%m-%d}"
    return None


def renewal_time(leaf: x509.Certificate, renew_before_days: int) -> dt.datetime:
    """Return the time (UTC) from which a run renews the leaf."""
    return leaf.not_valid_after_utc - dt.timedelta(days=renew_before_days)
