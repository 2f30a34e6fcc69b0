"""Which tags may go, why, and what that frees.

A tag is judged by the first rule that matches it. What is attached to an image (signatures, SBOMs) goes and stays with
it, whatever the rules say, unless one keeps it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tasks.room.uses import InUse
from tasks.settings.rules import RetentionRule
from tasks.storage.graph import Graph, Root
from tasks.storage.stored import Stored, Tag

DAY = 86400


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a tag, and why.

    `spared` is whether a rule would delete it, and only a use keeps it. `freed` are the bytes that become free with it;
    what several tags share is counted with the last of them.
    """

    tag: Tag
    delete: bool
    reason: str
    spared: bool = False
    freed: int = 0

    @property
    def name(self) -> str:
        """The tag as people write it, without the registry's name."""
        return f"{self.tag.repository}:{self.tag.name}"


@dataclass(frozen=True)
class Retention:
    """All decisions.

    `deleted` is in the order in which tags go: what is attached to an image goes after it. `freed` is what that frees,
    `waiting` how much of it is free only after `registry_untagged_days`.
    """

    deleted: tuple[Decision, ...]
    kept: tuple[Decision, ...]
    freed: int
    waiting: int


def decide(
    stored: Stored, rules: Sequence[RetentionRule], used: InUse, untagged_days: int | None, *, asked: bool
) -> Retention:
    """Return which tags may go. `asked` is whether anybody looked what is in use.

    The present is when the reading was made, by the same clock as the times in it. The reading has no problems and no
    link that is half-written.
    """
    decisions = [
        decision
        for repository in stored.repositories.values()
        for decision in _by_rules(repository.tags.values(), stored.read_at, rules, used, asked)
    ]
    going = [each.tag for each in decisions if each.delete]
    attached = list(_by_subject(stored, going, rules, used, untagged_days))
    deleted = [each for each in [*decisions, *attached] if each.delete]
    left = _without(stored, [each.tag for each in deleted])
    tags = [each.tag for each in deleted]
    freed = Graph(stored, frozenset(used.manifests)).freed(tags)
    soon = sum(Graph(stored, kept_manifests(left, used, untagged_days)).freed(tags))
    return Retention(
        tuple(replace(each, freed=size) for each, size in zip(deleted, freed, strict=True)),
        tuple(each for each in [*decisions, *attached] if not each.delete),
        sum(freed),
        sum(freed) - soon,
    )


def kept_manifests(stored: Stored, used: InUse, untagged_days: int | None) -> frozenset[Root]:
    """Return the manifests that stay also without a tag: they are in use, or had a tag lately."""
    return frozenset(used.manifests) | _young(stored, untagged_days)


def unmatched(stored: Stored, rules: Sequence[RetentionRule]) -> list[RetentionRule]:
    """Return the rules that are first for no tag."""
    first = {_rule(tag, rules) for tag in stored.tags if tag.attached_to is None}
    return [rule for number, rule in enumerate(rules) if number not in first]


def _rule(tag: Tag, rules: Sequence[RetentionRule]) -> int | None:
    matching = (number for number, rule in enumerate(rules) if rule.matches(tag.repository, tag.name))
    return next(matching, None)


def _by_rules(
    tags: Iterable[Tag], now: int, rules: Sequence[RetentionRule], used: InUse, asked: bool
) -> list[Decision]:
    """Decide about the tags of one repository that are attached to nothing."""
    by_rule: dict[int | None, list[Tag]] = defaultdict(list)
    for tag in sorted((each for each in tags if each.attached_to is None), key=lambda each: each.pushed):
        by_rule[_rule(tag, rules)].append(tag)
    found = []
    for number, matched in by_rule.items():
        times = [tag.pushed for tag in matched]
        for tag in matched:
            newer = len(times) - bisect_right(times, tag.pushed)
            rule = None if number is None else rules[number]
            found.append(_judge(tag, rule, newer, max(now - tag.pushed, 0) // DAY, used, asked))
    return found


def _judge(tag: Tag, rule: RetentionRule | None, newer: int, age: int, used: InUse, asked: bool) -> Decision:
    if rule is None:
        return Decision(tag, False, "no rule matches")
    if rule.keep:
        return Decision(tag, False, f"the rule {rule} keeps it")
    if rule.keep_days is not None and age < rule.keep_days:
        return Decision(tag, False, f"pushed {_days(age)} ago")
    if rule.keep_last is not None and newer < rule.keep_last:
        return Decision(tag, False, f"one of the {rule.keep_last} newest that match")
    if tag in used.tags:
        return Decision(tag, False, f"used by {used.tags[tag]}", spared=True)
    reasons = (
        [] if rule.keep_last is None else [f"{newer} newer {'tag matches' if newer == 1 else 'tags match'}"]
    )
    reasons += [f"pushed {_days(age)} ago", *(["nothing runs it"] if asked else [])]
    return Decision(tag, True, ", ".join(reasons))


def _by_subject(
    stored: Stored,
    going: Sequence[Tag],
    rules: Sequence[RetentionRule],
    used: InUse,
    untagged_days: int | None,
) -> Iterator[Decision]:
    """Decide about tags that are attached to an image, after it was decided about those of images."""
    attached = [tag for tag in stored.tags if tag.attached_to is not None]
    images = _without(stored, attached)
    had_tag, has_tag = _tagged(images, attached), _tagged(_without(images, going), attached)
    young = _young(images, untagged_days)
    for tag in attached:
        root = tag.repository, tag.attached_to or ""
        number = _rule(tag, rules)
        if number is not None and rules[number].keep:
            yield Decision(tag, False, f"the rule {rules[number]} keeps it")
        elif by := used.tags.get(tag) or used.manifests.get(root):
            yield Decision(tag, False, f"used by {by}")
        elif root[1] not in stored.repositories[tag.repository].manifests:
            yield Decision(tag, False, "what it is attached to is not in this repository")
        elif root in has_tag:
            yield Decision(tag, False, "what it is attached to stays")
        elif root not in had_tag and root in young:
            yield Decision(tag, False, "what it is attached to had a tag lately")
        else:
            yield Decision(tag, True, "what it is attached to has no tag any more")


def _tagged(images: Stored, attached: Sequence[Tag]) -> frozenset[Root]:
    """Return what tags lead to: those of images, and those that are attached to something that a tag leads to."""
    graph = Graph(images)
    found = {(tag.repository, digest) for tag in images.tags for digest in graph.needs(tag)}
    left = list(attached)
    while more := [tag for tag in left if (tag.repository, tag.attached_to) in found]:
        found |= {(tag.repository, digest) for tag in more for digest in graph.needs(tag)}
        left = [tag for tag in left if tag not in more]
    return frozenset(found)


def _young(stored: Stored, untagged_days: int | None) -> frozenset[Root]:
    """Return the manifests without a tag that are not to go yet."""
    untagged = Graph(stored).untagged
    if untagged_days is None:
        return frozenset(untagged)
    return frozenset(root for root, since in untagged.items() if stored.read_at - since < untagged_days * DAY)


def _without(stored: Stored, tags: Iterable[Tag]) -> Stored:
    """Return what would be stored without these tags."""
    gone = {(tag.repository, tag.name) for tag in tags}
    repositories = {
        name: replace(
            repository, tags={key: tag for key, tag in repository.tags.items() if (name, key) not in gone}
        )
        for name, repository in stored.repositories.items()
    }
    return replace(stored, repositories=repositories)


def _days(number: int) -> str:
    return "1 day" if number == 1 else f"{number} days"
