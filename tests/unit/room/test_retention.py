"""What is decided of each tag, and the reason that people read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tasks.remote.steps import Conflict
from tasks.room import plan, retention
from tasks.room.retention import DAY, Decision, Retention
from tasks.room.uses import InUse, Use, in_use
from tasks.settings.rules import RetentionRule
from tasks.storage.stored import Blob, Manifest, Repository, Stored, Tag
from tests.unit.room.random_registries import NOW, digest

PR: dict[str, Any] = {"repositories": "*", "tags": "pr-*", "keep_last": 2, "keep_days": 14}
SIGNED = digest("signed")


def stored(**days: int) -> Stored:
    """A repository in which each tag has an image of its own of a million bytes, pushed these days ago."""
    names = {name.replace("_", "-"): age for name, age in days.items()}
    images = {tag: digest(tag) for tag in names}
    layers = {digest(f"layer of {tag}"): 1_000_000 for tag in names}
    manifests = {
        images[tag]: Manifest(True, "", {}, {layer: 1}, None, frozenset({layer}))
        for tag, layer in zip(names, layers, strict=True)
    }
    tags = {tag: Tag("web", tag, images[tag], NOW - age * DAY) for tag, age in names.items()}
    links = {images[tag]: NOW - age * DAY for tag, age in names.items()}
    blobs = {each: Blob(size, 0) for each, size in (layers | dict.fromkeys(manifests, 0)).items()}
    return Stored(NOW, True, {"web": Repository("web", tags, links)}, blobs, manifests)


def decide(found: Stored, *rules: Mapping[str, Any], used: str = "", days: int | None = 7) -> Retention:
    uses = in_use(found, [Use("container web on nas", used)]) if used else InUse()
    return retention.decide(found, [RetentionRule(**rule) for rule in rules], uses, days, asked=True)


def lines(decided: Retention) -> dict[str, str]:
    return {each.tag.name: plan.line(each) for each in (*decided.deleted, *decided.kept)}


def test_each_tag_has_its_reason() -> None:
    found = stored(latest=90, pr_1=63, pr_2=20, pr_3=13, pr_4=1, pr_5=0)
    decided = decide(found, PR, used="registry.homelab.local/web:pr-2")
    assert lines(decided) == {
        "latest": "keep web:latest: no rule matches",
        "pr-1": "delete web:pr-1: 4 newer tags match, pushed 63 days ago, nothing runs it; frees 1 MB",
        "pr-2": "keep web:pr-2: used by container web on nas",
        "pr-3": "keep web:pr-3: pushed 13 days ago",
        "pr-4": "keep web:pr-4: pushed 1 day ago",
        "pr-5": "keep web:pr-5: pushed 0 days ago",
    }
    assert plan.summary(decided, 7, asked=True) == (
        "1 tag to delete, which frees 1 MB; 5 tags to keep, 1 only because of their use; "
        "hosts that are not in the inventory are not asked: what only they use may go"
    )


@pytest.mark.parametrize(
    ("rules", "deleted"),
    [
        ([], []),
        ([{"repositories": "*", "keep_last": 1}], ["pr-1", "pr-2"]),
        ([{"repositories": "*", "keep_last": 2}], ["pr-1"]),
        ([{"repositories": "*", "keep_days": 20}], ["pr-1", "pr-2"]),
        ([{"repositories": "*", "keep_days": 21}], ["pr-1"]),
        ([{"repositories": "*", "keep_days": 64}], []),
        ([{"repositories": "*", "keep_days": 1, "keep_last": 3}], []),
        ([{"repositories": "other", "keep_last": 1}], []),
        (
            [{"repositories": "*", "tags": "pr-1", "keep": True}, {"repositories": "*", "keep_last": 1}],
            ["pr-2"],
        ),
        (
            [{"repositories": "*", "keep_last": 3}, {"repositories": "*", "keep_last": 1}],
            [],
        ),  # the first one counts
        (
            [{"repositories": "*", "tags": "pr-3", "keep_days": 1}, {"repositories": "*", "keep_last": 1}],
            ["pr-1"],
        ),
    ],
)
def test_rules(rules: list[dict[str, Any]], deleted: list[str]) -> None:
    decided = decide(stored(pr_1=63, pr_2=20, pr_3=0), *rules)
    assert sorted(each.tag.name for each in decided.deleted) == deleted


def test_of_tags_that_were_pushed_in_one_second_none_is_newer() -> None:
    assert decide(stored(pr_1=20, pr_2=20, pr_3=20), PR | {"keep_last": 1}).deleted == ()


def test_what_is_deleted_early_is_free_later() -> None:
    decided = decide(stored(pr_1=10, pr_2=3, pr_3=1), {"repositories": "*", "keep_last": 1})
    assert (decided.freed, decided.waiting) == (2_000_000, 1_000_000)
    assert "frees 2 MB (1 MB of it once it had no tag for 7 days)" in plan.summary(decided, 7, asked=True)
    never = decide(stored(pr_1=10, pr_2=3), {"repositories": "*", "keep_last": 1}, days=None)
    assert "(1 MB of it not while registry_untagged_days is None)" in plan.summary(never, None, asked=False)


def signed(tag: str, found: Stored, age: int = 0) -> Stored:
    """Attach a signature to a tag's image, or to another digest."""
    web = found.repositories["web"]
    subject = web.tags[tag].digest if tag in web.tags else tag
    name = f"{subject}.sig".replace(":", "-")
    tags = dict(web.tags) | {name: Tag("web", name, SIGNED, NOW - age * DAY)}
    manifests = dict(found.manifests) | {SIGNED: Manifest(True, "", {}, {}, None, frozenset())}
    repository = Repository("web", tags, dict(web.manifests) | {SIGNED: NOW - age * DAY})
    return Stored(NOW, True, {"web": repository}, dict(found.blobs) | {SIGNED: Blob(7, 0)}, manifests)


@pytest.mark.parametrize(
    ("of", "rules", "reason"),
    [
        ("pr-1", [PR], "delete {}: what it is attached to has no tag any more; frees 7 B"),
        ("pr-4", [PR], "keep {}: what it is attached to stays"),
        ("pr-1", [], "keep {}: what it is attached to stays"),
        (digest("elsewhere"), [PR], "keep {}: what it is attached to is not in this repository"),
        ("pr-4", [{"repositories": "*", "keep_days": 1}], "keep {}: what it is attached to stays"),
        (
            "pr-1",
            [{"repositories": "*", "tags": "sha256-*", "keep": True}, PR],
            'keep {}: the rule {{"repositories": "*", "tags": "sha256-*", "keep": True}} keeps it',
        ),
    ],
)
def test_a_signature_goes_and_stays_with_its_image(of: str, rules: list[dict[str, Any]], reason: str) -> None:
    found = signed(of, stored(pr_1=63, pr_2=20, pr_3=13, pr_4=0), age=63)
    (name,) = [tag for tag in found.repositories["web"].tags if tag.startswith("sha256-")]
    assert lines(decide(found, *rules))[name] == reason.format(f"web:{name}")


def test_rules_for_which_no_tag_is_left_are_named() -> None:
    rules = [RetentionRule(**PR), RetentionRule(repositories="web", tags="pr-1", keep=True)]
    unmatched = retention.unmatched(stored(pr_1=0), rules)
    assert plan.unmatched(unmatched) == (
        'no tag is left for the rule {"repositories": "web", "tags": "pr-1", "keep": True} of registry_retention'
    )


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (
            Stored(0, problems=("find: x: Permission denied", "y")),
            "could not be read (find: x: Permission denied)",
        ),
        (
            Stored(0, repositories={"a": Repository("a", {"1": Tag("a", "1", None, 0)})}),
            "the link of a:1 is half",
        ),
        (
            Stored(0, repositories={"a": Repository("a", half_written=frozenset({SIGNED}))}),
            f"the link of a@{SIGNED}",
        ),
    ],
)
def test_of_a_reading_that_is_not_whole_nothing_is_deleted(found: Stored, problem: str) -> None:
    with pytest.raises(Conflict) as refused:
        plan.check_read(found)
    assert problem in refused.value.problem
    assert "nothing is deleted" in refused.value.problem


def test_unknown_use_is_named() -> None:
    with pytest.raises(Conflict) as refused:
        plan.check_uses(["k3s-2 was not reached", "pi: Docker Engine: it is off"])
    assert refused.value.problem == (
        "what is in use is not known, so nothing is deleted: k3s-2 was not reached, pi: Docker Engine: it is off"
    )
    plan.check_uses([])


def test_the_present_is_when_the_registry_was_read() -> None:
    future = Decision(Tag("web", "pr-9", digest("pr-9"), NOW + DAY), False, "pushed 0 days ago")
    assert lines(decide(stored(pr_9=-1), PR)) == {"pr-9": plan.line(future)}
