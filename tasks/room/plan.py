"""What people read of the decisions."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.problem import some_of
from tasks.remote.steps import Conflict
from tasks.room.retention import Decision, Retention
from tasks.settings import sizes
from tasks.settings.rules import RetentionRule
from tasks.storage.stored import Stored

OTHERS = "hosts that are not in the inventory are not asked: what only they use may go"


def check_read(stored: Stored) -> None:
    """Raise `Conflict` if the reading of what is stored is not whole: then nothing may be deleted because of it."""
    if stored.problems:
        raise Conflict(
            f"what is stored could not be read ({stored.problems[0]}), so nothing is deleted",
            "fix that and run again",
        )
    half = [f"{tag.repository}:{tag.name}" for tag in stored.tags if tag.digest is None]
    half += [
        f"{each.name}@{digest}"
        for each in stored.repositories.values()
        for digest in sorted(each.half_written)
    ]
    if half:
        raise Conflict(
            f"the link of {some_of(half)} is half-written, so nothing is deleted",
            "somebody may be pushing it: run again; if it stays so, push it again",
        )


def check_uses(unread: Sequence[str]) -> None:
    """Raise `Conflict` if it is not known of each host, engine and cluster what it uses."""
    if unread:
        raise Conflict(
            f"what is in use is not known, so nothing is deleted: {some_of(unread, 5)}",
            "fix that and run again; if a host is gone for good, make make-room DATA=registry_excused_hosts=NAME",
        )


def line(decision: Decision) -> str:
    """Return what happens to a tag, and why."""
    freed = f"; frees {sizes.rounded(decision.freed)}" if decision.freed else ""
    return f"{'delete' if decision.delete else 'keep'} {decision.name}: {decision.reason}{freed}"


def summary(retention: Retention, untagged_days: int | None, *, asked: bool) -> str:
    """Return the sums in one line."""
    deleted, spared = len(retention.deleted), sum(each.spared for each in retention.kept)
    parts = [f"{_tags(deleted)} to delete, which frees {sizes.rounded(retention.freed)}"]
    if retention.waiting and untagged_days is None:
        parts[0] += f" ({sizes.rounded(retention.waiting)} of it not while registry_untagged_days is None)"
    elif retention.waiting:
        parts[0] += f" ({sizes.rounded(retention.waiting)} of it once it had no tag for {untagged_days} days)"
    parts.append(
        f"{_tags(len(retention.kept))} to keep" + (f", {spared} only because of their use" if spared else "")
    )
    parts.append(OTHERS if asked else "registry_keep_running is off: what runs may go")
    return "; ".join(parts)


def unmatched(rules: Sequence[RetentionRule]) -> str:
    """Return the note about rules that are first for no tag."""
    return f"no tag is left for the rule {some_of([str(each) for each in rules])} of registry_retention"


def _tags(number: int) -> str:
    return "1 tag" if number == 1 else f"{number} tags"
