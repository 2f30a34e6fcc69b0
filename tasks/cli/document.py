"""The document that `--json` prints: what the run came to, by host."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pyinfra.context import ctx_state

from tasks.cli import standing
from tasks.run.context import Run


def document(run: Run, headline: str, remarks: Sequence[str]) -> str:
    """Return the document of a run or a plan; every host of the inventory is in it, also one that was not reached."""
    report, state = run.report, ctx_state.get()
    unread = dict.fromkeys([*report.notes, *report.problems])
    names = [each.name for each in state.inventory] if state.initialised else list(unread)
    hosts = {
        name: {
            "steps": [asdict(step) for step in report.steps.get(name, [])],
            "reasons": report.reasons.get(name, []),
            "done": report.done.get(name, []),
            "notes": report.notes.get(name, []),
            "problems": [
                {"problem": problem, "remedy": remedy} for problem, remedy in report.problems.get(name, [])
            ],
        }
        for name in names
    }
    return _dump(
        {
            "plan": run.dry,
            "summary": headline,
            "storage": asdict(standing.storage(run)),
            "hosts": hosts,
            "notes": list(remarks),
            "problems": [],
        }
    )


def refusal(problems: Sequence[str]) -> str:
    """Return the document of a run that did not begin."""
    return _dump(
        {"plan": False, "summary": "not begun", "hosts": {}, "notes": [], "problems": list(problems)}
    )


def _dump(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2)
