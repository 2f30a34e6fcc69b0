"""Inventories of simulated hosts: pyinfra's `@fake` connector replays the answers of real hosts.

It answers at once, so that the time of a run is the controller's own work.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.hosts import SAME, Hosts
from tasks.state.store import Store

REGISTRY = "@fake/registry"

Recorded = Mapping[str, Sequence[tuple[str, Sequence[str]]]]
"""By host, each command and the lines that it printed."""


def write_inventory(hosts: Hosts, recorded: Recorded, count: int) -> Path:
    """Write an inventory of `count` hosts and return its path.

    The first replays the registry host, all others replay the first Docker host (`host-02`).
    """
    folder = hosts.folder / f"fake_{count}"
    shutil.copytree(hosts.state, folder / "state")
    Store(folder / "state").write_record(REGISTRY, {}, None)
    (folder / "group_data").mkdir()
    (folder / "group_data/all.py").write_text(f"registry_state_dir = {str(folder / 'state')!r}\n{SAME}")
    answers = {name: dict(recorded[name]) for name in ("registry", "host-02")}
    (folder / "answers.json").write_text(json.dumps(answers))
    path = folder / f"fake_{count}.py"
    path.write_text(f"""\
import json, time

_answers = json.load(open({str(folder / "answers.json")!r}))
for _commands in _answers.values():
    for _command, _lines in _commands.items():  # a run reports a clock that is wrong
        _commands[_command] = [f"time|{{time.time()}}" if _line.startswith("time|") else _line for _line in _lines]
_others = [(f"@fake/{{_n}}", {{"fake_responses": _answers["host-02"]}}) for _n in range(2, {count} + 1)]
registry = [({REGISTRY!r}, {{"fake_responses": _answers["registry"]}})]
docker_hosts = [{REGISTRY!r}, *_others]
""")
    return path
