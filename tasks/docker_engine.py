"""Docker Engine: used as it is if there is one, else installed from the distribution's packages."""

from __future__ import annotations

from collections.abc import Generator

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.deploy import deploy
from pyinfra.api.operation import operation

from tasks.remote.steps import Conflict, Step
from tasks.run.apply import apply_steps
from tasks.run.machines import Machine

# Debian's init script first raises limits, and gives up if it may not, as in a container without CAP_SYS_RESOURCE.
# The engine itself runs well there, so it is then started with the script's own arguments. If an engine is still
# stopping, the loop waits until it is gone and starts it again.
START = """
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
    timeout 20 docker -H unix:///var/run/docker.sock version >/dev/null 2>&1 && exit 0
    sleep 0.5
done
last=$(journalctl -u docker -n 1 -o cat 2>/dev/null || tail -n 1 /var/log/docker.log)
echo "Docker Engine was started but does not answer: $last" >&2
exit 1
"""

# If a mirror cannot be reached, a package is not found: the error printed is the cause, not that effect.
# docker-cli is a package of its own from Debian 13 on; openssl shows which certificate is served. RUNLEVEL=1 keeps
# invoke-rc.d from starting the service, whose failure would fail the installation; the next step starts it.
INSTALL = """
export DEBIAN_FRONTEND=noninteractive PATH="$PATH:/usr/sbin:/sbin"
[ -d /run/systemd/system ] || export RUNLEVEL=1
dpkg --configure -a >/dev/null || exit 1
updated=$(apt-get -q -o DPkg::Lock::Timeout=300 update 2>&1)
packages='docker.io iproute2 openssl ca-certificates'
command -v docker >/dev/null || packages="$packages $(apt-cache --names-only search '^docker-cli$' | cut -d' ' -f1)"
complaint=$(apt-get -o DPkg::Lock::Timeout=300 install -q -y $packages 2>&1 >/dev/null) || {
    echo "$updated" | grep -m 1 'Failed to fetch' >&2 || echo "$complaint" >&2
    exit 1
}
"""


def silent() -> Conflict:
    """Return the conflict for an engine that accepts requests and does not answer."""
    return Conflict(
        "Docker Engine accepts requests but does not answer within 20 seconds",
        "look at its log (journalctl -u docker), restart it, and run again",
    )


def steps(machine: Machine) -> list[Step]:
    """Return the steps to a running engine; `Conflict` if there is none and none can be installed."""
    start = Step("start Docker Engine: it is not running", START)
    match machine.engine:
        case "running":
            return []
        case "silent":
            raise silent()
        case "stopped":
            return [start]
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
    yield from apply_steps(host, lambda run: steps(run.machines[host.name]), "Docker Engine is running")


@deploy("Docker Engine")
def install() -> None:
    """Install and start Docker Engine on the registry host and on Docker hosts that have none."""
    if {"registry", "docker_hosts"} & set(host.groups):
        run_engine(name="installed and running")
