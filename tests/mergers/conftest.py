"""How many texts each property is tried with, and which.

In `make test` the same 300 every time, so that no run is unlucky. In `make soak` others, 5,000, and the seed that
brings them back: `--mergers-seed`.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings


def pytest_configure(config: pytest.Config) -> None:
    common = settings(
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    soak = config.getoption("--soak")
    settings.register_profile("sample", common, max_examples=300, derandomize=True)
    settings.register_profile("soak", common, max_examples=5000)
    settings.load_profile("soak" if soak else "sample")
