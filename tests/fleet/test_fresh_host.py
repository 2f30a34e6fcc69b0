"""The fresh-host tests of tests/chain again, on a host without systemd."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bench.hosts import BenchHost
from tests.bench.recipes import BOOKWORM
from tests.chain import test_fresh_host as chain


@pytest.fixture(scope="module")
def bare() -> Iterator[BenchHost]:
    host = BenchHost.start(BOOKWORM, systemd=False)
    chain.give_project(host)
    yield host
    host.remove()


# pytest runs them in this order.
test_a_new_host_is_deployed_and_serves_an_image = chain.test_a_new_host_is_deployed_and_serves_an_image
test_a_rebooted_host_serves_again = chain.test_a_rebooted_host_serves_again
test_a_full_disk_for_the_state_is_reported_in_one_line_and_changes_nothing = (
    chain.test_a_full_disk_for_the_state_is_reported_in_one_line_and_changes_nothing
)
