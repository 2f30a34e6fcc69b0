"""Shapes of containerd's configuration, and what containerd makes of each.

`main` is `config.toml`, `drop` a file that it imports; IMPORTS stands for that. What is expected was compared with
`containerd config dump` of 1.6.20, 2.1.5 and 2.3.7, as `tests/fleet/test_cluster_nodes.py` does again with 1.6.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tasks.cluster_nodes.runtimes.containerd_config import CRI_1, CRI_2, IMAGES, TWO_PATHS

V1_6, V2_1, V2_3 = (1, 6), (2, 1), (2, 3)
IMPORT = 'imports = ["IMPORTS"]\n'
CRI = '[plugins."io.containerd.grpc.v1.cri"]\n  sandbox_image = "x"\n'
PULLING = '[plugins."io.containerd.cri.v1.images"]\n  snapshotter = "native"\n'

Found = tuple[str, str, str]
"""The `config_path` in force, the file to write it to, and the plugin's name there."""


def two(value: str) -> str:
    """A table as configuration version 2 has it."""
    return f'[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "{value}"\n'


def three(value: str) -> str:
    """A table as configuration version 3 has it, quoted as containerd's own dump is."""
    return f"[plugins.'io.containerd.cri.v1.images'.registry]\n  config_path = '{value}'\n"


@dataclass(frozen=True)
class Shape:
    main: str
    expected: dict[tuple[int, int], Found] = field(default_factory=dict)
    drop: str | None = None


def both(main: str, found: Found, drop: str | None = None) -> Shape:
    return Shape(main, {V1_6: found, V2_1: found, V2_3: found}, drop)


def new(main: str, found: Found, drop: str | None = None) -> Shape:
    return Shape(main, {V2_1: found, V2_3: found}, drop)


SHAPES: dict[str, Shape] = {
    "empty": Shape("", {V1_6: ("", "main", CRI_1), V2_1: ("", "main", IMAGES), V2_3: ("", "main", IMAGES)}),
    "only comments, as Docker's package has it": Shape(
        "disabled_plugins = []\n#root = '/x'\n", {V1_6: ("", "main", CRI_1), V2_3: ("", "main", IMAGES)}
    ),
    "version 1": Shape(
        '[plugins.cri.registry]\nconfig_path = "/own"\n',
        {V1_6: ("/own", "main", CRI_1), V2_1: ("", "main", IMAGES), V2_3: ("/own", "main", CRI_1)},
    ),
    "version 2": both("version = 2\n", ("", "main", CRI_2)),
    "version 2, the plugin": both(f"version = 2\n{CRI}", ("", "main", CRI_2)),
    "version 2, empty": both(f"version = 2\n{CRI}{two('')}", ("", "main", CRI_2)),
    "version 2, two paths": both(f"version = 2\n{two(TWO_PATHS)}", (TWO_PATHS, "main", CRI_2)),
    "version 2, two paths of the user's": both(f"version = 2\n{two('/own:/other')}", ("/own:/other", "main", CRI_2)),
    "version 2, a NVIDIA toolkit's drop-in": Shape(
        f"{IMPORT}version = 2\n[plugins]\n{CRI}", {V1_6: ("", "drop", CRI_2), V2_1: ("", "drop", CRI_2), V2_3: ("", "drop", CRI_2)},
        drop=f"version = 2\n[plugins]\n{CRI}{two('')}",
    ),
    "version 2, the user's own": both(f"version = 2\n{two('/own')}", ("/own", "main", CRI_2)),
    "version 2, dotted keys": both(
        'version = 2\nplugins."io.containerd.grpc.v1.cri".registry.headers.x = ["a"]\n', ("", "main", CRI_2)
    ),
    "version 2, below the table": both(
        f'version = 2\n{CRI}[plugins."io.containerd.grpc.v1.cri".registry.headers]\nx = ["a"]\n[debug]\nlevel = "info"\n',
        ("", "main", CRI_2),
    ),
    "version 2, both names": new(f"version = 2\n{two('')}{PULLING}", ("", "main", CRI_2)),
    "version 2, the newer name": Shape(
        f"version = 2\n{three('/own')}",
        {V1_6: ("", "main", CRI_2), V2_1: ("/own", "main", IMAGES), V2_3: ("/own", "main", IMAGES)},
    ),
    "version 2, set in a drop-in": both(
        f"version = 2\n{IMPORT}{CRI}", ("/own", "drop", CRI_2), drop=f"version = 2\n{two('/own')}"
    ),
    "version 2, empty in a drop-in": both(
        f"version = 2\n{IMPORT}{two('/own')}", ("", "drop", CRI_2), drop=f"version = 2\n{two('')}"
    ),
    "version 2, a drop-in without a version": both(
        f"version = 2\n{IMPORT}", ("/own", "drop", CRI_2), drop=two("/own")
    ),
    "version 2, the plugin in a drop-in": Shape(
        f"version = 2\n{IMPORT}{two('/own')}",
        {V1_6: ("", "drop", CRI_2), V2_1: ("/own", "main", CRI_2), V2_3: ("/own", "main", CRI_2)},
        drop=f"version = 2\n{CRI}",
    ),
    "version 2, another plugin in a drop-in": both(
        f"version = 2\n{IMPORT}{two('')}",
        ("", "main", CRI_2),
        drop='version = 2\n[plugins."io.containerd.internal.v1.opt"]\npath = "/x"\n',
    ),
    "version 3": new("version = 3\n", ("", "main", IMAGES)),
    "version 3, the plugin": new(f"version = 3\n{PULLING}", ("", "main", IMAGES)),
    "version 3, empty": new(f"version = 3\n{three('')}", ("", "main", IMAGES)),
    "version 3, two paths": new(f"version = 3\n{three(TWO_PATHS)}", (TWO_PATHS, "main", IMAGES)),
    "version 3, two paths in a drop-in": new(
        f"version = 3\n{IMPORT}{PULLING}", (TWO_PATHS, "drop", IMAGES), drop=f"version = 3\n{three(TWO_PATHS)}"
    ),
    "version 3, a drop-in wins": new(
        f"version = 3\n{IMPORT}{three('/a')}", ("/own", "drop", IMAGES), drop=f"version = 3\n{three('/own')}"
    ),
    "version 3, empty in a drop-in": new(
        f"version = 3\n{IMPORT}{three('/own')}", ("", "drop", IMAGES), drop=f"version = 3\n{three('')}"
    ),
    "version 3, a drop-in of version 2": Shape(
        f"version = 3\n{IMPORT}{PULLING}", {V2_3: ("/own", "drop", CRI_2)}, drop=f"version = 2\n{two('/own')}"
    ),
    "version 4": Shape(f"version = 4\n{PULLING}", {V2_3: ("", "main", IMAGES)}),
}  # fmt: skip
