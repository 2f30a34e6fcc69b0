"""Rules of retention: what their patterns match, and how they are shown."""

from __future__ import annotations

import pytest

from tasks.settings.rules import RetentionRule


@pytest.mark.parametrize(
    ("repositories", "tags", "repository", "tag", "matches"),
    [
        ("ci/*", "pr-*", "ci/web", "pr-41", True),
        ("ci/*", "pr-*", "ci/team/web", "pr-", True),
        ("ci/*", "pr-*", "ci", "pr-41", False),
        ("ci/*", "pr-*", "ci/web", "PR-41", False),
        ("ci/*", "pr-*", "my/ci/web", "pr-41", False),
        ("*", "*", "web", "1.2", True),
        ("web", "?.?", "web", "1.2", True),
        ("web", "?.?", "web", "1x2", False),
        ("web", "1.2", "web", "1.20", False),
    ],
)
def test_patterns(repositories: str, tags: str, repository: str, tag: str, matches: bool) -> None:
    rule = RetentionRule(repositories=repositories, tags=tags, keep_last=1)
    assert rule.matches(repository, tag) is matches


def test_a_rule_is_shown_as_it_is_written() -> None:
    rule = RetentionRule(repositories="ci/*", tags="pr-*", keep_last=5, keep_days=14)
    assert str(rule) == '{"repositories": "ci/*", "tags": "pr-*", "keep_last": 5, "keep_days": 14}'
    assert (
        str(RetentionRule(repositories="a", keep=True)) == '{"repositories": "a", "tags": "*", "keep": True}'
    )
