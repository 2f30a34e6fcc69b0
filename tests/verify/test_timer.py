"""The timer on this machine, where `make timer` made one: it is on, and its last run went well."""

from __future__ import annotations

from tasks.timer import control as timer
from tests.verify.deployment import Deployment


def test_the_timers_last_run_went_well(deployment: Deployment) -> None:
    complaint = timer.complaint(deployment.path)
    assert complaint is None, complaint
