"""The long campaigns: with `--soak` only they run, in full; otherwise each runs a sample."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--soak", action="store_true", help="run only the long campaigns, in full instead of as samples"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--soak"):
        others = [item for item in items if "soak" not in getattr(item, "fixturenames", ())]
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
