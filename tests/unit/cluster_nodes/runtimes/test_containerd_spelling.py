"""What containerd reads in a way of its own, version by version."""

from __future__ import annotations

import pytest

from tasks.cluster_nodes.runtimes import containerd_config
from tasks.remote.steps import Conflict

MAIN = "/etc/containerd/config.toml"
IMAGES = '[plugins."io.containerd.cri.v1.images"'


def load(text: str, version: tuple[int, int]) -> None:
    containerd_config.load(MAIN, {MAIN: text}, version)


def test_a_byte_order_mark_is_read_by_1_x_alone() -> None:
    text = '\ufeffversion = 2\n\n[debug]\n  level = "info"\n'
    load(text, (1, 6))
    with pytest.raises(Conflict) as raised:
        load(text, (2, 1))
    assert raised.value.problem == (
        f"{MAIN} line 1 begins with a byte order mark, and containerd 2 reads no such file"
    )


def test_imports_are_found_behind_a_byte_order_mark() -> None:
    text = '\ufeffversion = 2\nimports = ["/etc/containerd/conf.d/*.toml"]\n'
    assert containerd_config.named(MAIN, {MAIN: text}) == (["/etc/containerd/conf.d/*.toml"], [])


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("version = 2\n\n[Plugins.x]\n", 3, "Plugins"),
        ('Version = 3\n', 1, "Version"),
        ('version = 2\nDisabled_Plugins = ["cri"]\n', 2, "Disabled_Plugins"),
        (f'version = 3\n{IMAGES}.Registry]\nconfig_path = "/x"\n', 2, "Registry"),
        (f'version = 3\n{IMAGES}.registry]\nCONFIG_PATH = "/x"\n', 3, "CONFIG_PATH"),
    ],
)  # fmt: skip
def test_a_known_key_in_another_case_is_a_conflict(text: str, line: int, key: str) -> None:
    with pytest.raises(Conflict) as raised:
        load(text, (2, 1))
    assert raised.value.problem == (
        f"{MAIN} line {line} has {key!r}, and containerd may read it as {key.lower()!r}"
    )
