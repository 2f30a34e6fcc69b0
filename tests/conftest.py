"""The order of modules, and the long campaigns: with `--soak` only they run, in full; otherwise each runs a sample."""

from __future__ import annotations

import pytest

LONGEST = [
    "fleet/test_rollover.py", "fleet/test_docker_hosts.py", "fleet/test_cluster_nodes.py", "fleet/test_password_rotation.py",
    "fleet/test_hosts_in_trouble.py", "fleet/test_trouble.py", "fleet/test_many_hosts.py", "fleet/test_convergence.py",
    "gateway/test_two_passwords.py", "gateway/test_limits.py", "gateway/test_large_layers.py", "gateway/test_killed_pushes.py",
]  # fmt: skip
"""The modules that take minutes. They begin first, so that at the end no process is alone with one (`--dist loadfile`)."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--soak", action="store_true", help="run only the long campaigns, in full instead of as samples"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    place = {path: number for number, path in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get("/".join(item.path.parts[-2:]), len(place)))
    if config.getoption("--soak"):
        others = [item for item in items if "soak" not in getattr(item, "fixturenames", ())]
    else:
        others = [item for item in items if item.get_closest_marker("soak")]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """With `--soak`, split a campaign that has a `part` into three, for three processes (`-n 3 --dist load`)."""
    if "part" in metafunc.fixturenames:
        parts = 3 if metafunc.config.getoption("--soak") else 1
        metafunc.parametrize("part", [slice(first, None, parts) for first in range(parts)], ids=str)


@pytest.fixture
def soak(request: pytest.FixtureRequest) -> bool:
    """Return whether the long campaigns run in full."""
    return bool(request.config.getoption("--soak"))
