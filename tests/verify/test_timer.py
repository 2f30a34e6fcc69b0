"""The timer on this machine, if `make timer` made one: it is on, and its last run went well."""

from __future__ import annotations

from tasks.timer import status as timer
from tests.verify.deployment import Deployment


def test_the_timers_last_run_went_well(deployment: Deployment) -> None:
    problem = timer.find_problem(deployment.path)
    assert problem is None, problem
