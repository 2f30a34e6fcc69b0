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
test_from_a_bare_machine_to_an_image_pulled = chain.test_from_a_bare_machine_to_an_image_pulled
test_a_host_that_was_rebooted_serves_again = chain.test_a_host_that_was_rebooted_serves_again
test_a_full_disk_under_the_state_is_one_line_and_changes_nothing = (
    chain.test_a_full_disk_under_the_state_is_one_line_and_changes_nothing
)
