"""Which lines of pyinfra's log are printed: errors of hosts that our own lines do not say."""

from __future__ import annotations

import logging

import pytest

from tasks.cli.pyinfra_output import _is_for_people

KEYS = "Failed to load host keys from %s: %s"


@pytest.mark.parametrize(
    ("level", "text", "values", "shown"),
    [
        (logging.INFO, "--> Connecting to hosts...", (), False),
        (logging.ERROR, "[nas] sh: oops: not found", (), True),
        (logging.ERROR, "No hosts remaining!", (), False),
        (logging.WARNING, KEYS, ("/root/.ssh/known_hosts", FileNotFoundError(2, "No such file")), False),
        (logging.WARNING, KEYS, ("/root/.ssh/known_hosts", PermissionError(13, "Permission denied")), True),
    ],
)
def test_what_is_shown_of_a_deploy(level: int, text: str, values: tuple[object, ...], shown: bool) -> None:
    record = logging.LogRecord("pyinfra", level, __file__, 1, text, values, None)
    assert _is_for_people(record) is shown
