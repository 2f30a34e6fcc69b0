"""How many texts each property is tried with, and which.

In `make test` the same 300 every time, so that no run is unlucky. In `make soak` 5,000 others; it prints its
`--hypothesis-seed`, which brings them back (`make soak SEED=…`).
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings


def configure(config: pytest.Config) -> None:
    """Load the profile of this run."""
    soak = config.getoption("--soak")
    settings.register_profile(
        "mergers",
        deadline=None,
        database=None,
        derandomize=not soak,
        max_examples=5000 if soak else 300,
        print_blob=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    settings.load_profile("mergers")
