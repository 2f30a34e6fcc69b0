"""Times for people, and the line that moves."""

from __future__ import annotations

import time

import pytest

from tasks.run import output


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0 s"), (0.26, "0.3 s"), (1.94, "1.9 s"), (4.0, "4 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 0 s"),
        (72.0, "1 min 12 s"), (3600.0, "60 min 0 s"),
    ],
)  # fmt: skip
def test_a_duration(seconds: float, shown: str) -> None:
    assert output.duration(seconds) == shown


def test_a_step_that_took_no_time_has_none() -> None:
    assert output.with_time("write it", 0.04) == "write it"
    assert output.with_time("write it", 4.0) == "write it (4 s)"


def test_the_moving_line_shows_what_takes_longest_and_fits() -> None:
    now = time.monotonic()
    assert output.moving_line(now, 80) == ""
    with output.under_way("[nas] build the image: it is missing"):
        assert output.moving_line(now, 80) == ""
        assert output.moving_line(now + 5, 80) == "    [nas] build the image: it is missing … 5 s"
        with output.under_way("[pi] restart"):
            line = output.moving_line(now + 65, 40)
            assert len(line) == 40
            assert line.endswith(" … 65 s (and 1 more)")
    with output.under_way("look at the hosts"):
        assert output.moving_line(now + 5, 80) == "    look at the hosts … 5 s"
        with output.under_way("[nas] see what it has"):
            assert output.moving_line(now + 5, 80) == "    [nas] see what it has … 5 s"
    assert output.moving_line(now + 5, 80) == ""
