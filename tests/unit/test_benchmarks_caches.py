"""The benchmark of the caches: its targets, and what it says if a cache does not start without the internet."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.caches import Contender, Figures, page, rows

AT_BOUND = Contender(alone=25, all_done=30, first=1, sent=1.02, counted=0, offline=2, offline_first=1)
BEYOND = Contender(alone=25, all_done=30.1, first=1.1, sent=1.03, counted=1, offline=2.1, offline_first=1.1)
PANICS = replace(BEYOND, offline_error="ConnectionRefusedError after 5 s")
BLOBS = {"cache": 950.0, "proxy": 1000.0, "distribution": 500.0, "disk": 1100.0}


def test_each_target_is_reached_at_its_bound_and_missed_beyond_it() -> None:
    assert all(row.reached for row in rows(Figures({"cache": AT_BOUND, "distribution": PANICS}, BLOBS)))
    beyond = Figures({"cache": BEYOND, "distribution": AT_BOUND}, BLOBS | {"cache": 949.0})
    assert not any(row.reached for row in rows(beyond))


def test_a_cache_that_does_not_start_misses_its_targets() -> None:
    found = rows(Figures({"cache": PANICS, "distribution": PANICS}, BLOBS))
    offline = [row for row in found if "without the internet" in row.name]
    assert [row.reached for row in offline] == [False, False]


def test_the_page_has_what_distribution_made_of_it() -> None:
    lines = page(Figures({"cache": AT_BOUND, "distribution": PANICS}, BLOBS), 0.5).splitlines()
    assert (
        "| restarted without the internet: 5 MB | 2.00 s | distribution: ConnectionRefusedError after 5 s | "
        "at most 2 s | yes |"
    ) in lines
