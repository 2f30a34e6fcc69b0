"""What a run must know of every host first: whether it has root there, its clock, its Docker Engine."""

from __future__ import annotations

import time
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pyinfra.api.facts import FactBase

from tasks.certificates.ca import BACKDATE
from tasks.remote.docker import NO_CONFIG, OWN_ENGINE, SOCKET
from tasks.remote.fact_scripts import fail_host_on_bad_output, read_answer, script
from tasks.remote.steps import Conflict
from tasks.settings.redact import printable

Rights = Literal["root", "sudo", "none"]
Engine = Literal["running", "stopped", "silent", "absent", "off"]


@dataclass(frozen=True)
class Machine:
    """A host as it is reached.

    `ahead` is how many seconds its clock is ahead of the controller's. `family` holds the names of its distribution
    and of those that it is like (`ID` and `ID_LIKE` of os-release(5)). `engine` is `silent` if it accepts a request and
    never answers; `client` says whether the `docker` command is there. `names` are the host's name and addresses.
    """

    rights: Rights
    ahead: float
    family: str
    engine: Engine
    client: bool
    names: frozenset[str] = frozenset()
    why_off: str = ""
    memory: str = ""
    sudo_error: str = ""


SUDO_REMEDIES = {
    "you must have a tty": "allow it without a terminal (the line Defaults !requiretty in /etc/sudoers.d)",
    "expired": "renew that account's password or its date (chage -l USER shows both)",
    "locked": "unlock that account (passwd -u USER)",
    "not found": "log in as root, or install sudo there",
}
"""What to do, by words in sudo's error (sudo.ws, plugins/sudoers/{sudoers,check,pwutil}.c)."""

NO_RIGHTS = "log in as root, or allow it in /etc/sudoers.d (USER ALL=(ALL) NOPASSWD: ALL)"


def check(machine: Machine) -> None:
    """Raise `Conflict` if nothing can be done on a host."""
    if machine.rights == "none":
        raise no_rights(machine)
    # Certificates are valid from one hour before they are made: a clock further behind refuses them.
    if abs(machine.ahead) >= BACKDATE.total_seconds():
        minutes = round(abs(machine.ahead) / 60)
        raise Conflict(
            f"its clock is {minutes // 60} h {minutes % 60} min {'ahead of' if machine.ahead > 0 else 'behind'} "
            "this machine's, so certificates would not be valid there",
            "set the clocks (timedatectl set-ntp true) and run again",
        )


def volatile(machine: Machine) -> str | None:
    """Return the note about a host that forgets what is written to `/etc`, None for others."""
    if not machine.memory:
        return None
    return (
        f"/etc is in memory there ({machine.memory}), so what this project writes is gone after a reboot; "
        "have make deploy run after each, or keep /etc on a disk"
    )


def no_rights(machine: Machine) -> Conflict:
    """Return the conflict for a login that can become root in no way, with sudo's words."""
    error = machine.sudo_error
    wants_password = not error or "password is required" in error
    known = (remedy for words, remedy in SUDO_REMEDIES.items() if words in error)
    return Conflict(
        "neither root nor passwordless sudo" + ("" if wants_password else f" ({error})"),
        f"{next(known, NO_RIGHTS)}, and run again",
    )


def check_own_clock(ahead: Mapping[str, float], registry_host: str) -> None:
    """Raise `Conflict` if the registry host is the controller itself, and every other host has another time.

    `ahead` is how many seconds each host's clock is ahead. What is made by a clock that is ahead is not valid yet to
    anybody, and what is waited for seems to be over.
    """
    others = {name: seconds for name, seconds in ahead.items() if not name.startswith("@local")}
    limit = BACKDATE.total_seconds()
    if registry_host.startswith("@local") and others and all(abs(each) >= limit for each in others.values()):
        raise Conflict(
            f"this machine's clock differs by an hour or more from that of every other host ({', '.join(others)})",
            "set the clocks (timedatectl set-ntp true) and run again",
        )


RIGHTS = """
as=; rights=root
if [ "$(id -u)" -ne 0 ]; then
    if error=$(sudo -n true 2>&1); then as='sudo -n'; rights=sudo
    else rights=none; echo "sudo|$(printf '%s' "$error" | head -c 4096 | base64 -w 0)"; fi
fi
echo "rights|$rights"
"""

SYSTEM = """
echo "time|$(date +%s.%N)"
echo "family|$( . /etc/os-release 2>/dev/null; echo "$ID $ID_LIKE")"
addresses=$(ip -o address show scope global 2>/dev/null | sed -n 's/.* inet6\\{0,1\\} \\([^/ ]*\\).*/\\1/p')
echo "names|$(uname -n)" $addresses
"""

# An overlay is as lasting as its upper folder. Where that cannot be seen, as behind an initramfs, the kernel's command
# line tells: live-boot(7), casper(7), overlayroot.conf, dracut.cmdline(7), systemd.volatile in kernel-command-line(7).
MEMORY = """
memory=$(stat -f -c %T /etc 2>/dev/null)
if [ "$memory" = overlayfs ]; then
    upper=$(sed -n 's|^[^ ]* [^ ]* [^ ]* [^ ]* /\\(etc\\)\\{0,1\\} .* - overlay .*[ ,]upperdir=\\([^, ]*\\).*|\\2|p' \\
        /proc/self/mountinfo | tail -n 1)
    if [ -d "$upper" ]; then memory=$(stat -f -c %T "$upper" 2>/dev/null)
    elif grep -qE '(^| )(boot=(live|casper|overlay)|overlayroot=tmpfs|rd.live.image|systemd.volatile=(yes|overlay))' \\
        /proc/cmdline && ! grep -qE '(^| )persisten(t|ce)( |$)' /proc/cmdline; then memory=tmpfs; fi
fi
case $memory in (tmpfs|ramfs|rootfs) echo "memory|$memory" ;; esac
"""

# The unit is active as soon as the engine answers (Type=notify), and systemctl takes a tenth of docker's time. Nobody
# asks at a socket that systemd listens on: the question would start the engine. `disabled` and `masked` were said by a
# person, or by a distribution that leaves it to one. Podman's own answer at Docker's socket is no engine's. sudo passes
# no variables on: what the client is told stands in its arguments too.
ASK = f"ask() {{ $as timeout 20 docker --config {NO_CONFIG} -H {SOCKET} version >/dev/null 2>&1; }}"
ENGINE = (
    f"{OWN_ENGINE}{ASK}"
    + """
engine=absent; off=; state=; socket=
if command -v docker >/dev/null; then echo 'client|yes'; fi
has_unit() {
    ! command -v dockerd >/dev/null || return 0
    for folder in /etc /run /usr/lib /usr/local/lib /lib; do
        if [ -e $folder/systemd/system/docker.service ] || [ -L $folder/systemd/system/docker.service ]; then return; fi
    done
    return 1
}
has_snap() { [ -d /var/snap/docker/current ]; }
has_users_engine() {
    $as sh -c 'for each in /run/user/*/docker.sock /home/*/.config/systemd/user/docker.service; do
        [ ! -e "$each" ] || exit 0; done; exit 1'
}
if [ "$rights" = none ]; then :
elif $as systemctl -q is-active docker.service 2>/dev/null; then engine=running
else
    if ! has_unit; then :
    elif [ -d /run/systemd/system ]; then
        socket=$($as systemctl is-active docker.socket 2>/dev/null)
        state=$($as systemctl is-enabled docker.service 2>/dev/null)
    elif [ -n "$(ls /etc/rc[2-5].d/K??docker 2>/dev/null)" ] && ! ls /etc/rc[2-5].d/S??docker >/dev/null 2>&1; then
        state=disabled
    fi
    case $(readlink -f /var/run/docker.sock) in
        (*/podman.sock) code=1 ;;
        (*) if [ "$socket" = active ]; then code=1; else ask; code=$?; fi ;;
    esac
    case $code:$state in
        (0:*) engine=running ;;
        (124:*) engine=silent ;;
        (*:disabled) off="docker.service is disabled" ;;
        (*:masked*) off="docker.service is masked" ;;
        (*) if command -v dockerd >/dev/null; then engine=stopped
            elif has_snap; then off="the snap docker is stopped"
            elif has_users_engine; then off="only users have engines of their own"; fi ;;
    esac
    if [ -n "$off" ]; then engine=off; echo "off|$off"; fi
fi
echo "engine|$engine"
"""
)


@fail_host_on_bad_output
class MachineFact(FactBase[Machine | None]):
    """One round trip without sudo: the script itself finds out whether sudo works.

    sudo's own error is encoded, because pyinfra asks for a password when it sees it.
    """

    def command(self) -> str:
        """Return the script."""
        return script(RIGHTS, SYSTEM, MEMORY, ENGINE)

    def process(self, output: list[str]) -> Machine:
        """Read the answer; `FactProcessError` if it is incomplete."""
        answer = read_answer(output)
        return Machine(
            rights=answer.one("rights"),  # type: ignore[arg-type]  # the script prints nothing else
            ahead=float(answer.one("time") or 0) - time.time(),
            family=answer.one("family") or "",
            engine=answer.one("engine"),  # type: ignore[arg-type]
            client=answer.one("client") is not None,
            names=frozenset((answer.one("names") or "").split()),
            why_off=answer.one("off") or "",
            memory=answer.one("memory") or "",
            sudo_error=last_line(answer.one("sudo") or ""),
        )


def last_line(encoded: str) -> str:
    """Return the last line of what sudo printed, cut at 200 characters; a banner may come before it."""
    lines = [
        line.strip() for line in b64decode(encoded).decode(errors="replace").splitlines() if line.strip()
    ]
    return printable(lines[-1][:200]) if lines else ""
