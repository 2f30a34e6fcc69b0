"""A deployed registry, and Chromium, for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.gateway.conftest import gateway  # noqa: F401  # a fixture
from tests.gateway.gateway import Gateway
from tests.web.browser import Visit, chromium, visit


@pytest.fixture(scope="module")
def browser(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:  # noqa: F811
    with chromium(gateway, tmp_path_factory.mktemp("chromium")) as started:
        yield started


@pytest.fixture
def visitor(gateway: Gateway, browser: Browser) -> Iterator[Visit]:  # noqa: F811
    """A browser that nobody has signed in with; no request of it may go elsewhere, and no rule of its own is broken."""
    made = visit(gateway, browser)
    yield made
    assert made.other_hosts() <= {None}  # `data:` and the like have no host
    assert made.faults == []
    made.page.context.close()
