"""Random registries: the rules against a slow reading of them, and nothing that is in use is ever deleted."""

from __future__ import annotations

from hypothesis import Phase, given, settings

from tasks.room import retention
from tasks.room.uses import in_use
from tests.unit.room.random_registries import Drawn, registries
from tests.unit.room.slow_rules import SlowRules


@settings(deadline=None, database=None, max_examples=1000, phases=[Phase.generate], print_blob=True)
@given(registries())
def test_the_rules_are_as_they_are_read_slowly(drawn: Drawn) -> None:
    slow = SlowRules(drawn)
    used = in_use(drawn.stored, [each.use for each in drawn.uses])
    decided = retention.decide(drawn.stored, drawn.rules, used, drawn.untagged_days, asked=True)
    deleted = {(each.tag.repository, each.tag.name) for each in decided.deleted}
    assert deleted == slow.deleted()
    assert len(decided.deleted) + len(decided.kept) == len(drawn.stored.tags)
    assert decided.freed == sum(each.freed for each in decided.deleted) == slow.freed(deleted)
    assert 0 <= decided.waiting <= decided.freed
    for each in decided.deleted:
        assert not slow.is_used(each.tag)
    kept = retention.kept_manifests(drawn.stored, used, drawn.untagged_days)
    for use in drawn.uses:  # what is used by its digest stays, also without a tag
        for name, repository in drawn.stored.repositories.items():
            if use.digest in repository.manifests:
                assert (name, use.digest) in kept
