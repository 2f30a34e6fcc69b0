"""The long campaigns: `--soak` runs them alone, and whole; otherwise each is a sample of itself."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--soak", action="store_true", help="the long campaigns alone, whole, not the samples of them"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--soak"):
        others = [item for item in items if "soak" not in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Whole, a campaign with a `part` is in three, for as many processes (`-n 3 --dist load`)."""
    if "part" in metafunc.fixturenames:
        parts = 3 if metafunc.config.getoption("--soak") else 1
        metafunc.parametrize("part", [slice(first, None, parts) for first in range(parts)], ids=str)


@pytest.fixture
def soak(request: pytest.FixtureRequest) -> bool:
    """Whether the long campaigns are to be run whole."""
    return bool(request.config.getoption("--soak"))
