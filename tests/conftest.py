"""Which tests are run, and which follow one another in one process.

The long campaigns: `--soak` runs them alone, and whole; otherwise each is a sample of itself.
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--soak", action="store_true", help="the long campaigns alone, whole, not the samples of them"
    )


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks in a hook of the same name
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.pluginmanager.hasplugin("xdist"):  # which a user's environment does not have
        for item in items:
            item.add_marker(pytest.mark.xdist_group(_hosts(item)))
    if config.getoption("--soak"):
        others = [item for item in items if "soak" not in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


def _hosts(item: pytest.Item) -> str:
    """Name the hosts that a test shares: its module's, or one of the two clusters."""
    if item.path.parent.name == "cluster":
        return "cluster without nodes" if "served" in getattr(item, "fixturenames", ()) else "cluster"
    return item.nodeid.partition("::")[0]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Whole, a campaign with a `part` is in three, for as many processes (`-n 3 --dist load`)."""
    if "part" in metafunc.fixturenames:
        parts = 3 if metafunc.config.getoption("--soak") else 1
        metafunc.parametrize("part", [slice(first, None, parts) for first in range(parts)], ids=str)


@pytest.fixture
def soak(request: pytest.FixtureRequest) -> bool:
    """Whether the long campaigns are to be run whole."""
    return bool(request.config.getoption("--soak"))
