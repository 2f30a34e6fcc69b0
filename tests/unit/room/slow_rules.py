"""The rules read again, slowly and in other words, to compare with."""

from __future__ import annotations

import re

from tasks.settings.rules import RetentionRule
from tasks.storage.stored import Stored, Tag
from tests.unit.room.random_registries import DAY, NOW, Drawn

Key = tuple[str, str]


class SlowRules:
    """Which tags go, and how many bytes that frees, by trying everything."""

    def __init__(self, drawn: Drawn) -> None:
        self.drawn, self.stored = drawn, drawn.stored
        self.tags = {(tag.repository, tag.name): tag for tag in self.stored.tags}
        self.used_digests = {use.digest for use in drawn.uses if use.digest}
        self.used_names = {use.tag for use in drawn.uses if use.tag}

    def deleted(self) -> set[Key]:
        gone = {key for key, tag in self.tags.items() if not self.is_attached(key) and self.may_go(tag)}
        attached = {key for key in self.tags if self.is_attached(key)}
        stays = {key for key in attached if self.is_kept_for_itself(key)}
        while True:
            there = self.reached(set(self.tags) - attached - gone, stays)
            more = {key for key in attached - stays if (key[0], self.subject(key)) in there}
            if not more:
                return gone | (attached - stays)
            stays |= more

    def freed(self, deleted: set[Key]) -> int:
        return self.bytes_of(set(self.tags)) - self.bytes_of(set(self.tags) - deleted)

    def is_used(self, tag: Tag) -> bool:
        parts = self.parts(tag.digest or "")
        return (tag.repository, tag.name) in self.used_names or bool(parts & self.used_digests)

    def may_go(self, tag: Tag) -> bool:
        rule = self.rule(tag)
        if rule is None or rule.keep or self.is_used(tag):
            return False
        rivals = [
            each for key, each in self.tags.items() if key[0] == tag.repository and not self.is_attached(key)
        ]
        newer = [each for each in rivals if self.rule(each) is rule and each.pushed > tag.pushed]
        is_old = rule.keep_days is None or (NOW - tag.pushed) / DAY >= rule.keep_days
        is_one_of_many = rule.keep_last is None or len(newer) >= rule.keep_last
        return is_old and is_one_of_many

    def is_kept_for_itself(self, key: Key) -> bool:
        """An attached tag stays for itself, or because of what its image is, not of whether it has a tag now."""
        tag, subject = self.tags[key], self.subject(key)
        rule, links = self.rule(tag), self.stored.repositories[key[0]].manifests
        if (rule and rule.keep) or self.is_used(tag) or subject not in links:
            return True
        manifest = self.stored.manifests[subject]
        if {subject, *manifest.layers} & self.used_digests:
            return True
        had_tag = (key[0], subject) in self.led_to_before()
        days = self.drawn.untagged_days
        return not had_tag and (days is None or NOW - links[subject] < days * DAY)

    def led_to_before(self) -> set[Key]:
        images = {key for key in self.tags if not self.is_attached(key)}
        attached: set[Key] = set()
        while True:
            there = self.reached(images, attached)
            more = {key for key in self.tags if key not in images and (key[0], self.subject(key)) in there}
            if more == attached:
                return there
            attached = more

    def reached(self, images: set[Key], attached: set[Key]) -> set[Key]:
        """What image tags lead to, and attached tags whose subject is among that."""
        found = {
            (key[0], each) for key in images for each in self.closure(key[0], self.tags[key].digest or "")
        }
        for _ in attached:
            for key in attached:
                if (key[0], self.subject(key)) in found:
                    found |= {(key[0], each) for each in self.closure(key[0], self.tags[key].digest or "")}
        return found

    def bytes_of(self, tags: set[Key]) -> int:
        needed = {each for key in tags for each in self.closure(key[0], self.tags[key].digest or "")}
        for repository in self.stored.repositories.values():
            for root in repository.manifests:
                if {root, *self.stored.manifests[root].layers} & self.used_digests:
                    needed |= self.closure(repository.name, root)
        return sum(self.stored.blobs[each].size for each in needed if each in self.stored.blobs)

    def closure(self, repository: str, root: str) -> set[str]:
        return closure(self.stored, repository, root)

    def parts(self, root: str) -> set[str]:
        manifest = self.stored.manifests[root]
        return {root, *manifest.layers}.union(*(self.parts(child) for child in manifest.children))

    def rule(self, tag: Tag) -> RetentionRule | None:
        for rule in self.drawn.rules:
            if _fits(rule.repositories, tag.repository) and _fits(rule.tags, tag.name):
                return rule
        return None

    def is_attached(self, key: Key) -> bool:
        return key[1].startswith("sha256-")

    def subject(self, key: Key) -> str:
        return key[1].replace("-", ":", 1).removesuffix(".sig")


def closure(stored: Stored, repository: str, root: str) -> set[str]:
    """Grow a set until it does not grow any more."""
    found = {root}
    while True:
        more = {name for each in found if each in stored.manifests for name in stored.manifests[each].names}
        more |= {
            each
            for each in stored.repositories[repository].manifests
            if stored.manifests[each].subject in found
        }
        if more <= found:
            return found
        found |= more


def _fits(pattern: str, text: str) -> bool:
    parts = {"*": ".*", "?": "."}
    return bool(re.fullmatch("".join(parts.get(each, re.escape(each)) for each in pattern), text))
