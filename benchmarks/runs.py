"""One run of each tool, timed, and what it says it did."""

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
    """A run that ended well: its time in seconds, and what it changed, a line for each."""

    seconds: float
    changes: list[str]


def deploy(inventory: Path, *arguments: str) -> Run:
    """Run deploy.py; with `-y`, unless `arguments` say otherwise."""
    seconds, output = _run_timed([*_pyinfra(), *(arguments or ("-y",)), str(inventory), "deploy.py"], ROOT)
    return Run(seconds, re.findall(r"\[\S+\] +step: (.*)", output))


def exec_true(inventory: Path) -> Run:
    """Run pyinfra as it comes, away from the project's config.py, with one command that does nothing."""
    return Run(_run_timed([*_pyinfra(), "-y", str(inventory), "exec", "--", "true"], inventory.parent)[0], [])


def record_commands(inventory: Path) -> dict[str, list[tuple[str, list[str]]]]:
    """Run deploy.py, and return the commands on each host with their answers."""
    file = inventory.parent / "recorded.json"
    command = [sys.executable, "-m", "benchmarks.recorded", str(file), "-y", str(inventory), "deploy.py"]
    _run_timed(command, ROOT)
    recorded: dict[str, list[tuple[str, list[str]]]] = json.loads(file.read_text())
    return recorded


def playbook(tools: Path, hosts: Hosts, count: int) -> Run:
    """Run the playbook on the first hosts. `tools` is the virtual environment that has Ansible."""
    script = (ROOT / "files/build_image.sh").read_text()
    built = {role: image.name for role, image in images.wanted(Settings(), {}, script).items()}
    given = {
        "secrets_dir": str(hosts.secrets),
        "registry_image": built["registry"],
        "gateway_image": built["gateway"],
        "hosts_file_is_mount": True,
    }
    inventory = str(hosts.for_ansible(count))
    seconds, output = _run_timed(
        [str(tools / "bin/ansible-playbook"), "-i", inventory, "-e", json.dumps(given), "site.yml"],
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
    """Run each in turn, as many times as is said, and return the medians; `RuntimeError` where one changes anything.

    What else the machine does then falls on all of them alike.
    """
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(max(rounds for rounds, _ in contenders.values())):
        for name, (rounds, contender) in contenders.items():
            if turn < rounds:
                run = contender()
                if run.changes:
                    raise RuntimeError(f"{name} was to change nothing, but: {'; '.join(run.changes)}")
                taken[name].append(run.seconds)
    return {name: median(seconds) for name, seconds in taken.items()}


def _pyinfra() -> list[str]:
    return [sys.executable, "-m", "pyinfra"]


def _run_timed(
    command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> tuple[float, str]:
    """Return the seconds and what was printed, without colours; `RuntimeError`, with all of it, where it fails."""
    # Python keeps what it compiles unless told otherwise, and the tools are measured as people have them.
    given = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    begun = time.monotonic()
    done = subprocess.run(
        command, cwd=folder, env={**given, **NO_DELAY, **(environment or {})}, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=1200, check=False,
    )  # fmt: skip
    seconds = time.monotonic() - begun
    output = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{output}")
    return seconds, output
