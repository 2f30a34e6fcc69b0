"""Docker Engine: used as it is if there is one, else installed from the distribution's packages."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.deploy import deploy
from pyinfra.api.facts import FactBase
from pyinfra.api.operation import operation

from tasks.remote.docker import OWN_ENGINE
from tasks.remote.fact_scripts import fail_host_on_bad_output, read_answer, script
from tasks.remote.steps import Conflict, Step
from tasks.run.apply import apply_steps, read_fact
from tasks.run.context import Run
from tasks.run.machines import Machine

# Debian's init script first raises limits, and gives up if it may not, as in a container without CAP_SYS_RESOURCE.
# The engine itself runs well there, so it is then started with the script's own arguments. If an engine is still
# stopping, the loop waits until it is gone and starts it again.
START = (
    OWN_ENGINE
    + """
export PATH="$PATH:/usr/sbin:/sbin"
start() {
    if [ -d /run/systemd/system ]; then systemctl enable --now docker; return; fi
    service docker status >/dev/null 2>&1 && return
    service docker start >/dev/null 2>&1
    service docker status >/dev/null 2>&1 && return
    start-stop-daemon --start --background --no-close --exec "$(command -v dockerd)" \\
        --pidfile /var/run/docker-ssd.pid --make-pidfile -- -p /var/run/docker.pid >> /var/log/docker.log 2>&1
}
for _ in $(seq 120); do
    start || exit 1
    timeout 20 docker version >/dev/null 2>&1 && exit 0
    sleep 0.5
done
last=$(journalctl -u docker -n 1 -o cat 2>/dev/null || tail -n 1 /var/log/docker.log)
echo "Docker Engine was started but does not answer: $last" >&2
exit 1
"""
)

APT = r"""
export LC_ALL=C DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 PATH="$PATH:/usr/sbin:/sbin"
apt() { apt-get -q -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "$@"; }
add_packages() { apt --no-upgrade -o APT::Get::AutomaticRemove=false "$@" install $packages; }
packages='docker.io iproute2 openssl ca-certificates'
command -v docker >/dev/null || packages="$packages $(apt-cache --names-only search '^docker-cli$' | cut -d' ' -f1)"
displaced() { add_packages -s 2>/dev/null |
    sed -n 's/^Remv \([^ ]*\).*/remove \1/p; s/^Inst \(containerd\|runc\) \[.*/upgrade \1/p'; }
"""
"""Adds Docker Engine's packages, and no more: `displaced` prints what apt would remove for them.

A node's containerd would be restarted by an upgrade, and other services by needrestart (its apt-pinvoke reads
NEEDRESTART_SUSPEND). docker-cli is a package of its own from Debian 13 on; openssl shows which certificate is served.
"""

# If a mirror cannot be reached, a package is not found: the error printed is the cause, not that effect. RUNLEVEL=1
# keeps invoke-rc.d from starting the service, whose failure would fail the installation; the next step starts it.
INSTALL = (
    APT
    + """
[ -d /run/systemd/system ] || export RUNLEVEL=1
dpkg --configure -a >/dev/null || exit 1
updated=$(apt update 2>&1)
found=$(displaced)
[ -z "$found" ] || { echo "apt would" $found "for Docker Engine" >&2; exit 1; }
complaint=$(add_packages -y --no-remove 2>&1 >/dev/null) || {
    echo "$updated" | grep -m 1 'Failed to fetch' >&2 || echo "$complaint" >&2
    exit 1
}
"""
)

BELONGING = {
    "podman-docker": "Podman is in Docker's place there: put that host into cluster_nodes, or remove podman-docker",
    "docker-desktop": "install the engine beside Docker Desktop (apt-get install docker-ce)",
    "docker-ce": "install the engine that belongs to it (apt-get install docker-ce)",
    "containerd.io": "install the engine that belongs to it (apt-get install docker-ce)",
    "moby-": "install the engine that belongs to it (apt-get install moby-engine)",
}
"""What to do, by how the names of packages begin that Debian's docker.io cannot stand beside."""

SWITCH_ON = {
    "disabled": "switch it on (systemctl enable --now docker)",
    "masked": "switch it on (systemctl unmask docker && systemctl enable --now docker)",
    "snap": "switch it on (snap start --enable docker)",
    "users": "install one for the system (apt-get install docker.io)",
}
"""What to do about an engine that is off, by a word of the reason."""


@fail_host_on_bad_output
class DisplacedFact(FactBase[list[str] | None]):
    """What apt would remove or upgrade for Docker Engine, as far as its lists tell: `remove containerd.io`."""

    def command(self) -> str:
        """Return the script."""
        return script(APT, "displaced")

    def process(self, output: list[str]) -> list[str]:
        """Return the lines; `FactProcessError` if there are not all."""
        return [word for word in read_answer(output).lines if word]


def silent() -> Conflict:
    """Return the conflict for an engine that accepts requests and does not answer."""
    return Conflict(
        "Docker Engine accepts requests but does not answer within 20 seconds",
        "look at its log (journalctl -u docker), restart it, and run again",
    )


def check_displaced(displaced: list[str]) -> None:
    """Raise `Conflict` if an installation would remove a package, or upgrade the runtime of a node: none ever does."""
    if displaced:
        names = [each.partition(" ")[2] for each in displaced]
        known = (remedy for start, remedy in BELONGING.items() for name in names if name.startswith(start))
        remedy = next(known, "install Docker Engine there as its documentation says")
        raise Conflict(
            f"to install Docker Engine apt would {' and '.join(displaced)}", f"{remedy}, and run again"
        )


def steps(machine: Machine, *, required: bool) -> list[Step]:
    """Return the steps to a running engine; `Conflict` if there is none and none can be installed.

    An engine that a person switched off stays off. That is a `Conflict` only if it is `required`, as by the registry.
    """
    start = Step("start Docker Engine: it is not running", START)
    match machine.engine:
        case "running":
            return []
        case "silent":
            raise silent()
        case "stopped":
            return [start]
        case "off":
            if not required:
                return []
            remedy = next(command for word, command in SWITCH_ON.items() if word in machine.why_off)
            raise Conflict(
                f"the registry needs Docker Engine, which is off on purpose ({machine.why_off})",
                f"{remedy} and run again",
            )
    if "debian" not in machine.family.split():
        raise Conflict(
            "there is no Docker Engine, and this project installs it only on Debian and its derivatives",
            "install Docker Engine as its documentation says, and run again",
        )
    found = "there is only its client" if machine.client else "there is none"
    return [
        Step(f"install Docker Engine from the distribution's packages (about a minute): {found}", INSTALL),
        start,
    ]


@operation()
def run_engine() -> Generator[PyinfraCommand, None, None]:
    """Install and start Docker Engine if there is none."""
    yield from apply_steps(host, _decide, _noop_reason)


def _decide(run: Run) -> list[Step]:
    machine = run.machines[host.name]
    taken = steps(machine, required="registry" in host.groups)
    if machine.engine == "absent":
        check_displaced(read_fact(host, DisplacedFact))
    if machine.engine == "off":
        run.report.note(host.name, f"Docker Engine is off on purpose ({machine.why_off}), and stays off")
    return taken


def _noop_reason(run: Run) -> str:
    off = run.machines[host.name].engine == "off"
    return "Docker Engine stays off" if off else "Docker Engine is running"


@deploy("Docker Engine")
def install() -> None:
    """Install and start Docker Engine on the registry host and on Docker hosts that have none."""
    if {"registry", "docker_hosts"} & set(host.groups):
        run_engine(name="installed and running")
