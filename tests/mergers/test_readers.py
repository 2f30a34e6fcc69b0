"""containerd's configuration with values of the wrong type anywhere: read, or a conflict, and never an exception."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tasks.cluster_nodes.runtimes import containerd_config, containerd_conflicts
from tasks.cluster_nodes.runtimes.containerd_config import NAMES
from tasks.remote.steps import Conflict

MAIN = "/etc/containerd/config.toml"
KEYS = st.sampled_from([
    "version", "imports", "plugins", "disabled_plugins", "registry", "config_path", "mirrors", "configs", "tls", "grpc", "address",
    "Plugins", "a.example:443", *NAMES,
])  # fmt: skip
VALUES = st.recursive(
    st.one_of(
        st.booleans(), st.integers(-1, 5), st.sampled_from(["", "/x", "/a:/b", "cri", "*.toml", "true"])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=10,
)


def below(*keys: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for any value at a path of keys."""

    def wrapped(value: Any) -> dict[str, Any]:
        for key in reversed(keys):
            value = {key: value}
        return dict(value)

    return VALUES.map(wrapped)


FILES = st.one_of(
    st.dictionaries(KEYS, VALUES, max_size=4),
    *(below("plugins", name) for name in NAMES),
    *(below("plugins", name, "registry") for name in NAMES),
    *(below("plugins", name, "registry", "configs", "a.example") for name in NAMES),
)


def toml(value: Any) -> str:
    """Return a value as TOML has it, tables inline."""
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(
                f"{json.dumps(key, ensure_ascii=False)} = {toml(each)}" for key, each in value.items()
            )
            + "}"
        )
    return (
        f"[{', '.join(map(toml, value))}]"
        if isinstance(value, list)
        else json.dumps(value, ensure_ascii=False)
    )


@given(says=FILES, number=st.integers(1, 4), version=st.sampled_from([(1, 6), (2, 1), (2, 3)]))
def test_no_type_of_value_is_an_exception(
    soak: bool, says: dict[str, Any], number: int, version: tuple[int, int]
) -> None:
    members = {"version": number, **says}
    text = "".join(f"{json.dumps(key)} = {toml(value)}\n" for key, value in members.items())
    containerd_config.named(MAIN, {MAIN: text})
    try:
        files = containerd_config.load(MAIN, {MAIN: text}, version)
        configured = containerd_config.in_force(files, version)
        containerd_conflicts.check_inline(files, version, configured)
        containerd_conflicts.disabled(files)
        assert configured.folder.startswith("/")
    except Conflict as conflict:
        told = conflict.problem
    else:
        told = f"{MAIN} "
    assert told.startswith(f"{MAIN} ")
