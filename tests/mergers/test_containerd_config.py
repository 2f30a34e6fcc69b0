"""`config_path` set in containerd's configuration, however that is written."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from tasks.remote import toml_edit
from tests.mergers import toml_texts

PLUGIN = "io.containerd.grpc.v1.cri"
KEYS = ("plugins", PLUGIN, "registry", "config_path")
TEXTS = st.sampled_from([None, "", "/a:/b"]).flatmap(
    lambda present: toml_texts.files(PLUGIN, present, ["version = 2"])
)


def said(text: str) -> dict[str, Any]:
    return tomllib.loads(text.removeprefix("\ufeff"))


def check_kept(before: str, after: str) -> None:
    """Assert that `after` is `before` with one piece of a line added or replaced."""
    begin = next(
        (at for at, (one, other) in enumerate(zip(before, after, strict=False)) if one != other),
        min(len(before), len(after)),
    )
    rest, added = before[begin:], after[begin:]
    end = next(
        (at for at, (one, other) in enumerate(zip(rest[::-1], added[::-1], strict=False)) if one != other),
        min(len(rest), len(added)),
    )
    assert "\n" not in rest[: len(rest) - end]
    assert "config_path" in after


@given(TEXTS)
def test_the_value_is_set_and_nothing_else_changes(soak: bool, text: str) -> None:
    try:
        before = said(text)
    except tomllib.TOMLDecodeError:
        assume(False)
    after = toml_edit.put(text, KEYS, "/certs", "/f")
    table = before
    for key in KEYS[:-1]:
        table = table.setdefault(key, {})
    table["config_path"] = "/certs"
    assert said(after) == before
    check_kept(text, after)
    assert toml_edit.put(after, KEYS, "/certs", "/f") == after
    moved = toml_edit.put(after, KEYS, "/others", "/f")
    assert toml_edit.put(moved, KEYS, "/certs", "/f") == after
