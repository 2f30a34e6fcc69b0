"""The benchmark of what a registry stores: its folder, its targets, and that it measures."""

from __future__ import annotations

from pathlib import Path

from benchmarks.storage import Figures, measure, page, rows, write_folder


def test_it_measures_a_folder_of_four_blobs_for_each_tag(tmp_path: Path) -> None:
    write_folder(tmp_path, tags=100)
    found = measure(tmp_path, 1)
    assert (found.tags, found.blobs) == (100, 100 * 4 + 500)
    assert min(found.script, found.du, found.parse, found.graph, found.sent) > 0


def test_each_target_is_reached_at_its_bound_and_missed_beyond_it() -> None:
    at_bound = Figures(5000, 20000, script=2, du=0.8, parse=0.6, graph=0.4, sent=5_000_000)
    beyond = Figures(5000, 20000, script=2.1, du=0.8, parse=0.6, graph=0.5, sent=5_000_000)
    assert [row.reached for row in rows(at_bound)] == [True, True, True]
    assert [row.reached for row in rows(beyond)] == [False, False, False]
    assert (
        "| read 20,000 blobs and 5,000 tags: the controller's part | 1.00 s | "
        "0.60 s to parse 5.0 MB, 0.40 s for the graph | at most 1 s | yes |"
    ) in page(at_bound, 0.5).splitlines()
