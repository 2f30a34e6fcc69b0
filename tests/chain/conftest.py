"""The hosts of these tests are all of one image, made from Debian 12's packages alone."""

from __future__ import annotations

import pytest

from tests.bench.hosts import remove_leftovers


@pytest.fixture(scope="session", autouse=True)
def _no_leftovers() -> None:
    remove_leftovers()
