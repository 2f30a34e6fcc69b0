"""Run each tool once; measure how long it takes and read what it changed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.hosts import Hosts
from tasks.registry import images
from tasks.settings.load import Settings

ROOT = Path(__file__).parents[1]
PLAYBOOK = ROOT / "benchmarks/ansible"
NO_DELAY = {"PYINFRA_FAKE_DELAY": "0", "PYINFRA_FAKE_DELAY_JITTER": "0"}


@dataclass(frozen=True)
class Run:
    """A successful run: its time in seconds, and a line for each change."""

    seconds: float
    changes: list[str]


def deploy(inventory: Path, *arguments: str) -> Run:
    """Run deploy.py with pyinfra's `arguments`, by default `-y`."""
    seconds, output = _run_timed([*_pyinfra(), *(arguments or ("-y",)), str(inventory), "deploy.py"], ROOT)
    return Run(seconds, re.findall(r"^  [+x] \[(\S+\] .*)", output, re.MULTILINE))


def exec_true(inventory: Path) -> Run:
    """Run `pyinfra exec -- true`, outside of the project's folder and so without its config.py."""
    return Run(_run_timed([*_pyinfra(), "-y", str(inventory), "exec", "--", "true"], inventory.parent)[0], [])


def record_commands(inventory: Path) -> dict[str, list[tuple[str, list[str]]]]:
    """Run deploy.py, and return the commands on each host with their output."""
    file = inventory.parent / "recorded.json"
    command = [sys.executable, "-m", "benchmarks.recorded", str(file), "-y", str(inventory), "deploy.py"]
    _run_timed(command, ROOT)
    recorded: dict[str, list[tuple[str, list[str]]]] = json.loads(file.read_text())
    return recorded


def playbook(environment: Path, hosts: Hosts, count: int) -> Run:
    """Run the playbook on the first hosts. `environment` is the virtual environment that has Ansible."""
    wanted = images.wanted(Settings(), {}, images.read_scripts(ROOT / "files"))
    built = {role: image.name for role, image in wanted.items()}
    variables = {
        "secrets_dir": str(hosts.secrets),
        "registry_image": built["registry"],
        "gateway_image": built["gateway"],
        "hosts_file_is_mount": True,
    }
    inventory = str(hosts.for_ansible(count))
    seconds, output = _run_timed(
        [str(environment / "bin/ansible-playbook"), "-i", inventory, "-e", json.dumps(variables), "site.yml"],
        PLAYBOOK,
        {
            "ANSIBLE_HOME": str(hosts.folder / "ansible"),
            "ANSIBLE_CONFIG": str(PLAYBOOK / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "LC_ALL": "C.UTF-8",
        },
    )
    changes, task = [], ""
    for line in output.splitlines():
        if heading := re.match(r"(?:TASK|RUNNING HANDLER) \[(.*)\]", line):
            task = heading[1]
        if changed := re.match(r"changed: \[([^] ]+)", line):
            changes.append(f"{task} on {changed[1]}")
    return Run(seconds, changes)


def interleaved(contenders: Mapping[str, tuple[int, Callable[[], Run]]]) -> dict[str, float]:
    """Run each contender in turn, for its number of rounds, and return the medians in seconds.

    Taking turns spreads other load on the machine over all contenders. Raise `RuntimeError` if one changes anything.
    """
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(max(rounds for rounds, _ in contenders.values())):
        for name, (rounds, contender) in contenders.items():
            if turn < rounds:
                run = contender()
                if run.changes:
                    raise RuntimeError(
                        f"{name} should have changed nothing, but did: {'; '.join(run.changes)}"
                    )
                taken[name].append(run.seconds)
    return {name: median(seconds) for name, seconds in taken.items()}


def _pyinfra() -> list[str]:
    return [sys.executable, "-m", "pyinfra"]


def _run_timed(
    command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> tuple[float, str]:
    """Run a command; return its seconds and its output without colours. Raise `RuntimeError` if it fails."""
    # The tools are measured as people run them: with compiled bytecode on disk.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    begun = time.monotonic()
    done = subprocess.run(
        command, cwd=folder, env={**inherited, **NO_DELAY, **(environment or {})}, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=1200, check=False,
    )  # fmt: skip
    seconds = time.monotonic() - begun
    output = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{output}")
    return seconds, output
