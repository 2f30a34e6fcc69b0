"""`config_path` set in containerd's configuration, however that is written."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from tasks.remote import toml_edit
from tests.mergers import shapes, toml_texts
from tests.mergers.outcome import only_added

PLUGIN = "io.containerd.grpc.v1.cri"
KEYS = ("plugins", PLUGIN, "registry", "config_path")
TEXTS = st.sampled_from([None, "", "/a:/b"]).flatmap(
    lambda present: toml_texts.files(PLUGIN, present, ["version = 2"])
)


def said(text: str) -> dict[str, Any]:
    return tomllib.loads(text.removeprefix("\ufeff"))


def without_value(text: str) -> str:
    """Return a text without the `config_path` that some of `TEXTS` have."""
    return re.sub(
        r"""(config_path["']?[ \t]*=[ \t]*)(?:"{3}(?:/a:/b)?"{3}|'{3}(?:/a:/b)?'{3}|"(?:/a:/b)?"|'(?:/a:/b)?')""",
        r"\1",
        text,
    )


@shapes.examples(shapes.CONTAINERD)
@given(text=TEXTS)
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
    assert only_added(without_value(text), after.replace('"/certs"', ""))
    assert toml_edit.put(after, KEYS, "/certs", "/f") == after
    moved = toml_edit.put(after, KEYS, "/others", "/f")
    assert toml_edit.put(moved, KEYS, "/certs", "/f") == after
