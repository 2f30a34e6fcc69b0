"""A deployment under test: its inventory, its state, and its runs with their complete output."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tasks.state.store import Store
from tests import forks, printed

ROOT = Path(__file__).parents[2]
TRACED = "tests.fleet.traced"


@dataclass(frozen=True)
class RunResult:
    """One run: `steps` are the steps it printed, `commands` what it executed on hosts and on the controller."""

    exit_code: int
    output: str
    commands: list[str]

    @property
    def steps(self) -> list[str]:
        return printed.steps(self.output)

    def steps_on(self, host: str) -> list[str]:
        return printed.steps(self.output, host)

    @property
    def failed(self) -> list[str]:
        return printed.failed(self.output)

    def commands_on(self, host: str) -> list[str]:
        return [line for line in self.commands if re.match(rf"\d+ host\+? {re.escape(host)}: ", line)]

    def trusted_by(self, runtime: str) -> list[str]:
        """Return the hosts of which the run says that this runtime trusts the registry."""
        return printed.by_runtime(self.output, "Trusted by").get(runtime, [])

    def has_ca(self, runtime: str) -> list[str]:
        """Return the hosts of which the run says only that this runtime has the CA."""
        return printed.by_runtime(self.output, "Has the CA").get(runtime, [])

    @property
    def logged_in(self) -> str:
        return printed.row(self.output, "Logged in")

    @property
    def reasons(self) -> list[str]:
        """Return why there was nothing to do, of a run with `-v`."""
        return printed.reasons(self.output)

    @property
    def problems(self) -> list[str]:
        """Return the lines at the end that name what is not finished."""
        return printed.not_finished(self.output)


class Deployment:
    """An inventory file in a folder of its own; `hosts` is its text, `settings` its group data."""

    quiet = 1.0
    """Seconds that each run waits at least before it revokes former passwords. Tests with active clients set `QUIET`."""

    def __init__(self, folder: Path, hosts: str, **settings: object) -> None:
        self.folder = folder
        self.inventory = folder / "bench.py"
        self.inventory.write_text(hosts)
        self.trace = folder / "trace"
        self.set(**{"registry_state_dir": f"{folder}/state", **settings})

    def set(self, **settings: object) -> None:
        """Replace the settings."""
        data = self.folder / "group_data"
        data.mkdir(exist_ok=True)
        (data / "bench.py").write_text("".join(f"{key} = {value!r}\n" for key, value in settings.items()))

    @property
    def store(self) -> Store:
        return Store(self.folder / "state")

    def run(
        self,
        *arguments: str,
        deploy: str = "deploy.py",
        kill_after: int = 0,
        kill_within: int = 0,
        terminal: bool = False,
        clock: str | None = None,
    ) -> RunResult:
        """Run pyinfra, by default with `-y`; `terminal` gives it a pseudo-terminal, `kill_after` and `kill_within` are as in `traced.py`.

        `clock` is the offset of the controller's clock from the hosts', in faketime's format.
        """
        self.trace.write_text("")
        given = arguments or ("-y",)
        numbers = [str(number) for number in (kill_after, kill_within, self.quiet)]
        traced = [str(self.trace), *numbers, *given, str(self.inventory), deploy]
        if not terminal and not clock:
            exit_code, output = forks.run(TRACED, traced, 900)
        else:
            command = [sys.executable, "-m", TRACED, *traced]
            if clock:
                command = ["env", "FAKETIME_DONT_FAKE_MONOTONIC=1", "faketime", "-f", clock, *command]
            if terminal:
                command = ["script", "-qefc", shlex.join(command), "/dev/null"]
            done = subprocess.run(
                command,
                cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=900, check=False,
            )  # fmt: skip
            exit_code, output = done.returncode, done.stdout + done.stderr
        plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", output)
        return RunResult(exit_code, plain, self.trace.read_text().splitlines())

    def plan(self) -> RunResult:
        """Run a plan."""
        return self.run("--dry")

    def kit(self) -> tuple[Path, str]:
        """Run `make workstation`'s command; return the kit's folder and what was printed."""
        command = [sys.executable, "-m", "tasks.workstation", str(self.inventory)]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return self.store.folder / "workstation", ran.stdout

    def verify(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the user's own verification against this inventory."""
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/verify",
             "--inventory", str(self.inventory), *arguments],
            cwd=ROOT, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=900, check=False,
        )  # fmt: skip
