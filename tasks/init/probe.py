"""Try to log in on a host as a run would, and see what it has."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from pyinfra.api.exceptions import FactProcessError

from tasks.cluster_nodes.runtimes.table import RUNTIMES
from tasks.init.hosts import NewHost
from tasks.remote import ssh_command
from tasks.remote.fact_scripts import read_answer, script
from tasks.run.machines import RIGHTS, Machine, last_line, no_rights
from tasks.settings.redact import printable

SECONDS = 30
"""How long a host may take to answer."""

OPTIONS = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "StrictHostKeyChecking=accept-new")
"""Nothing is asked, and a host that was never seen is accepted, as pyinfra does."""

ONLY_THE_KEY = ("-o", "IdentitiesOnly=yes")
"""A login with another key that an agent has says nothing of this one (ssh_config(5))."""

FIND = """
has_program() { command -v "$1" >/dev/null || [ -x "/usr/local/bin/$1" ] || [ -x "/opt/$1/bin/$1" ]; }
find_runtime() {
    name=$1; shift
    if has_program "$name"; then echo "runtime|$name"; return; fi
    for unit; do
        for folder in /etc /run /usr/lib /usr/local/lib /lib; do
            if [ -e "$folder/systemd/system/$unit" ]; then echo "runtime|$name"; return; fi
        done
    done
}
if has_program kubelet; then echo 'runtime|kubelet'; fi
"""


@dataclass(frozen=True)
class Found:
    """What a host answered: the names of its `runtimes`, or with `problem` why nothing can be done on it."""

    runtimes: tuple[str, ...] = ()
    rights: str = ""
    problem: str = ""

    @property
    def titles(self) -> list[str]:
        """The runtimes' names for people."""
        return ["Docker" if name == "docker" else RUNTIMES[name].title for name in self.runtimes]

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that such a host is usually in."""
        nodes = ("cluster_nodes",) if {*self.runtimes} - {"docker", "podman"} else ()
        return (*(("docker_hosts",) if "docker" in self.runtimes or not self.runtimes else ()), *nodes)


def look(host: NewHost) -> Found:
    """Log in on a host and look at it. Nothing there is changed."""
    finders = [shlex.join(["find_runtime", name, *runtime.units]) for name, runtime in RUNTIMES.items()]
    try:
        # No login shell reads the script: sh does, from standard input.
        ran = subprocess.run(
            _command(host), input=script(RIGHTS, FIND, *finders), env={**os.environ, "LC_ALL": "C"},
            capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        return Found(problem="there is no ssh on this machine to try it with; install openssh-client")
    except subprocess.TimeoutExpired:
        return Found(problem=f"no answer in {SECONDS} s; try it: {_try(host)}")
    return read(host, ran.returncode, ran.stdout, ran.stderr)


def read(host: NewHost, exit_code: int, output: str, errors: str) -> Found:
    """Return what `ssh` printed as what was found."""
    try:
        answer = read_answer(output.splitlines())
    except FactProcessError:
        said = [line.strip() for line in errors.splitlines() if line.strip()]
        reason = printable(said[-1][:200]) if said else f"exit code {exit_code}"
        return Found(problem=f"{reason.rstrip('.')}; try it: {_try(host)}")
    rights = answer.one("rights") or "none"
    if rights == "none":
        machine = Machine("none", 0, "", "absent", False, sudo_error=last_line(answer.one("sudo") or ""))
        stop = no_rights(machine)
        remedy = stop.remedy.removesuffix(", and run again")
        return Found(problem=f"{stop.problem}; {remedy}; try it: {_try(host)}")
    there = [name for (name,) in answer.all("runtime")]
    return Found(tuple(_served(there)), rights)


def _served(there: Sequence[str]) -> list[str]:
    """Leave out what is a part of another one: Docker comes with a containerd, K3s and RKE2 have their own."""
    parts = {"containerd"} if {"docker", "k3s", "rke2"} & {*there} and "kubelet" not in there else set()
    return [name for name in there if name in RUNTIMES and name not in parts]


def _command(host: NewHost) -> list[str]:
    if host.name == ssh_command.LOCAL:
        return ["sh"]
    program, *rest = ssh_command.arguments(host.name, host.data)
    return [program, *OPTIONS, *(ONLY_THE_KEY if host.key else ()), *rest, "sh"]


def _try(host: NewHost) -> str:
    return ssh_command.try_login(host.name, host.data)


def describe(host: NewHost, found: Found) -> str:
    """Return in one line what was found on a host."""
    if found.problem:
        return f"{host.name}: {found.problem}"
    has = ", ".join(found.titles) or "no container runtime"
    return f"{host.name}: logged in, {'root' if found.rights == 'root' else 'root by sudo'}; {has}"
