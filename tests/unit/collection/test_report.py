"""What a run says of a collection."""

from __future__ import annotations

import pytest

from tasks.collection import report
from tasks.storage.collection import Plan, Times, Trash
from tasks.storage.stored import Blob, Stored

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
STORED = Stored(1000, blobs={A: Blob(212_000_000, 1), B: Blob(1500, 1)})
USUAL, AT_ONCE = Times(grace=3600, trash=86400), Times(grace=0, trash=0)
NOW = 'to free all at once: make make-room DATA="registry_gc_grace_minutes=0 registry_trash_days=0"'


@pytest.mark.parametrize(
    ("plan", "left", "times", "text"),
    [
        pytest.param(Plan(), Trash(), USUAL, "", id="nothing"),
        pytest.param(
            Plan(condemn=frozenset({A, B})),
            Trash(),
            USUAL,
            f"212 MB that nothing needs can go in a run 60 minutes after it was condemned; {NOW}",
            id="found",
        ),
        pytest.param(
            Plan(),
            Trash({B: 900}),
            USUAL,
            f"1.5 kB that nothing needs can go in a run 60 minutes after it was condemned; {NOW}",
            id="condemned by an earlier run",
        ),
        pytest.param(
            Plan(ready=frozenset({A})),
            Trash({A: 900}),
            USUAL,
            f"212 MB that nothing needs goes into the trash for 1 day; {NOW}",
            id="to the trash",
        ),
        pytest.param(
            Plan(condemn=frozenset({A}), ready=frozenset({A})),
            Trash(),
            AT_ONCE,
            "212 MB that nothing needs is deleted",
            id="at once",
        ),
        pytest.param(
            Plan(delete=(1,)),
            Trash({}, {1: frozenset({"x"}), 2: frozenset({"y"})}, {1: 3000, 2: 4_000_000}),
            USUAL,
            f"3 kB of the trash is deleted; 4 MB stays in the trash until a run 1 day after it came there; {NOW}",
            id="the trash",
        ),
        pytest.param(Plan(spare=frozenset({A})), Trash({A: 900}), USUAL, "", id="needed again"),
    ],
)
def test_the_summary_says_what_is_freed_and_when(plan: Plan, left: Trash, times: Times, text: str) -> None:
    assert report.summary(STORED, plan, left, times) == text


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        (Plan(condemn=frozenset({A})), "condemn 1 blob (212 MB): nothing needs that"),
        (
            Plan(condemn=frozenset({A}), ready=frozenset({A, B}), spare=frozenset({"gone"})),
            "spare 1 blob of the condemned: something needs it, or it is gone\n"
            "tell who pushes that 2 blobs (212 MB) are absent: nothing needs that",
        ),
        (Plan(delete=(1,)), "begin to collect: an earlier run left something"),
    ],
)
def test_the_first_step_says_what_it_does(plan: Plan, text: str) -> None:
    assert report.begun(STORED, plan) == text


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        (Plan(unlink=("a", "b")), "remove 2 links: what they lead to is gone"),
        (Plan(delete=(1,)), "empty the trash, which frees 3 kB: it is as old as registry_trash_days"),
        (Plan(), "end the collection: nothing is being moved any more"),
    ],
)
def test_the_last_step_says_what_it_does(plan: Plan, text: str) -> None:
    assert report.finished(plan, Trash({}, {1: frozenset()}, {1: 3000})) == text
