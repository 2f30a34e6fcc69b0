"""How many texts each property is tried with, and which: see `tests/mergers/campaign.py`."""

from __future__ import annotations

import pytest

from tests.mergers import campaign


def pytest_configure(config: pytest.Config) -> None:
    campaign.configure(config)
