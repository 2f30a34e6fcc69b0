"""All hosts of these tests have the same image, made only from Debian 12's packages."""

from __future__ import annotations

import pytest

from tests.bench.hosts import remove_leftovers


@pytest.fixture(scope="session", autouse=True)
def _no_leftovers() -> None:
    remove_leftovers()
