"""What a run prints of a collection."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.settings.sizes import rounded
from tasks.storage.collection import Plan, Times, Trash
from tasks.storage.stored import Stored


def begun(stored: Stored, plan: Plan) -> str:
    """Return what the first step of a run does, a line for each thing, and why."""
    parts = []
    if new := plan.condemn - plan.ready:
        parts.append(f"condemn {_blobs(stored, new)}: nothing needs that")
    if plan.spare:
        parts.append(f"spare {_count(plan.spare)} of the condemned: something needs it, or it is gone")
    if plan.ready:
        parts.append(f"tell who pushes that {_blobs(stored, plan.ready)} are absent: nothing needs that")
    return "\n".join(parts) or "begin to collect: an earlier run left something"


def moved(stored: Stored, digests: Iterable[str]) -> str:
    """Return what the step that moves blobs does, and why."""
    return f"move {_blobs(stored, digests)} into the trash: still nothing needs that"


def given_back(plan: Plan) -> str:
    """Return what the step that gives back does, and why."""
    return f"give back {len(plan.give_back)} files from the trash: they are needed after all"


def finished(plan: Plan, left: Trash) -> str:
    """Return what the last step does, a line for each thing, and why."""
    parts = []
    if plan.unlink:
        parts.append(f"remove {_number(len(plan.unlink), 'link')}: what they lead to is gone")
    if plan.delete:
        size = rounded(sum(left.sizes[each] for each in plan.delete))
        parts.append(f"empty the trash, which frees {size}: it is as old as registry_trash_days")
    return "\n".join(parts) or "end the collection: nothing is being moved any more"


def summary(stored: Stored, plan: Plan, left: Trash, times: Times) -> str:
    """Return what becomes of all that nothing needs, and when, in one line; empty if there is no such thing."""
    waiting = (plan.condemn | left.condemned.keys()) - plan.ready - plan.spare
    trashed = sum(size for time, size in left.sizes.items() if time not in plan.delete)
    emptied = sum(left.sizes[each] for each in plan.delete)
    days = times.trash // 86400
    parts = []
    if plan.ready:
        goes = f"goes into the trash for {_number(days, 'day')}" if times.trash else "is deleted"
        parts.append(f"{rounded(stored.size(plan.ready))} that nothing needs {goes}")
    if waiting:
        minutes = _number(times.grace // 60, "minute")
        parts.append(
            f"{rounded(stored.size(waiting))} that nothing needs can go in a run {minutes} after it was condemned"
        )
    if emptied:
        parts.append(f"{rounded(emptied)} of the trash is deleted")
    if trashed:
        parts.append(
            f"{rounded(trashed)} stays in the trash until a run {_number(days, 'day')} after it came there"
        )
    if waiting or trashed or (plan.ready and times.trash):
        parts.append(
            'to free all at once: make make-room DATA="registry_gc_grace_minutes=0 registry_trash_days=0"'
        )
    return "; ".join(parts)


def problem(stored: Stored | None) -> str:
    """Return why nothing is known, in one line."""
    return stored.problems[0] if stored and stored.problems else "see above"


def _blobs(stored: Stored, digests: Iterable[str]) -> str:
    found = set(digests)
    return f"{_count(found)} ({rounded(stored.size(found))})"


def _count(found: frozenset[str] | set[str]) -> str:
    return _number(len(found), "blob")


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
