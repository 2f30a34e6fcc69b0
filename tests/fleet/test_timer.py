"""The timer on a controller with systemd: it deploys for real, reports failures, and can be removed completely."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests import pages, printed
from tests.bench import registry_images
from tests.bench.hosts import BenchHost, Result
from tests.bench.recipes import BOOKWORM_DOCKER
from tests.fleet.clone import copy_project

PROJECT = "/opt/homelab-registry"
"""A folder that other users can read too."""

SERVICE = "homelab-registry@local.service"
TIMER = "homelab-registry@local.timer"
FOLDER = "/var/lib/homelab-registry-timer/local"
FILES = "find /etc /var/lib/systemd /var/lib/homelab-registry-timer -xdev 2>/dev/null | grep -v homelab-registry/ | sort"
LISTEN = "nohup python3 -m http.server --bind 0.0.0.0 443 >/dev/null 2>&1 & echo $! > /tmp/listener"
VERIFY = f"cd {PROJECT} && .venv/bin/python -m pytest -q tests/verify/test_timer.py --inventory inventories/local.py"
"""The part of `make verify` that looks at the timer."""

PORT_TAKEN = "[@local] port 443 is taken by python3 (pid "


@pytest.fixture(scope="module")
def controller() -> Iterator[BenchHost]:
    """A controller with Docker Engine and the project, deployed once."""
    host = BenchHost.start(BOOKWORM_DOCKER)
    try:
        registry_images.load(host)
        copy_project(host, PROJECT)
        make(host, "deploy")
        yield host
    finally:
        host.remove()


@pytest.fixture
def with_timer(controller: BenchHost) -> Iterator[BenchHost]:
    make(controller, "timer")
    yield controller
    make(controller, "timer-off")


def run_make(host: BenchHost, target: str) -> Result:
    return host.run(f"cd {PROJECT} && make {target} 2>&1", check=False, timeout=900)


def make(host: BenchHost, target: str) -> str:
    ran = run_make(host, target)
    assert ran.exit_code == 0, ran.stdout
    return ran.stdout


def of_local(command: str) -> str:
    """Return a command of the pages for the inventory `local`."""
    return command.replace("@NAME", "@local").replace("INVENTORY", "inventories/local.py")


def steps(output: str) -> list[str]:
    return printed.steps(output, "controller")


def failure_notice(host: BenchHost, unit: str = SERVICE) -> str:
    """Run the service, check that it fails, and return the notice of the failure."""
    # systemd refuses a sixth start within 10 seconds (systemd.unit(5), StartLimitBurst=); tests are that fast.
    host.run(f"systemctl reset-failed {unit}")
    assert host.run(f"systemctl start {unit}", check=False).exit_code != 0
    return read_notice(host)


def read_notice(host: BenchHost) -> str:
    host.wait_until(
        f"test -e {FOLDER}/failed && ! systemctl is-active homelab-registry-failed@local.service"
        " | grep -q activating",
        60, "the end of the notice",
    )  # fmt: skip
    return host.read(f"{FOLDER}/failed")


@contextmanager
def port_taken(host: BenchHost) -> Iterator[None]:
    host.run(f"docker rm -f homelab-registry-gateway && {{ {LISTEN}; }}")
    host.wait_until("ss -Htlnp 'sport = :443' | grep -q python3", 20, "the listener")
    try:
        yield
    finally:
        host.run("kill $(cat /tmp/listener)")
        host.wait_until("! ss -Htln 'sport = :443' | grep -q .", 20, "the end of the listener")


@contextmanager
def logged_in(host: BenchHost) -> Iterator[subprocess.Popen[str]]:
    """Open a terminal for root over SSH, in which messages of `wall` and motd appear."""
    host.run(
        "mkdir -p -m 0700 /root/.ssh && cd /root/.ssh && { [ -e id_ed25519 ] || "
        "ssh-keygen -q -t ed25519 -N '' -f id_ed25519; } && cp id_ed25519.pub authorized_keys"
    )
    command = [
        "docker",
        "exec",
        "-i",
        host.name,
        "ssh",
        "-tt",
        "-o",
        "StrictHostKeyChecking=accept-new",
        "root@localhost",
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as terminal:
        try:
            host.wait_until("who | grep -q pts/", 30, "the login")
            yield terminal
        finally:
            terminal.kill()


def screen(terminal: subprocess.Popen[str]) -> str:
    """End a login, and return what its terminal showed."""
    shown, _ = terminal.communicate("exit\n", timeout=30)
    return shown


def test_the_timer_is_created_once_fixed_if_changed_and_removed_completely(controller: BenchHost) -> None:
    before = controller.run(FILES).stdout
    controller.run("docker rm -f homelab-registry-gateway")
    first_output = make(controller, "timer")
    assert len(steps(first_output)) == 6
    assert "The timer is on: its last run, " in first_output
    # The run that checks the timer is a real deployment.
    assert (
        controller.run("docker inspect -f '{{.State.Running}}' homelab-registry-gateway").stdout == "true\n"
    )
    printed_by_all = of_local(pages.in_text("docs/how-it-works.md", "journalctl -u "))
    journal = controller.run(f"{printed_by_all} -o cat").stdout
    assert printed.row(journal, "Trusted by") == "@local (Docker)"
    assert TIMER in controller.run(pages.in_text("docs/how-it-works.md", "systemctl list-timers")).stdout
    show = f"systemctl show --value -p Persistent -p RandomizedDelayUSec -p TimersCalendar {TIMER}"
    assert re.fullmatch(r"{ OnCalendar=Mon \*-\*-\* 00:00:00 ; .*}\n1h\nyes\n", controller.run(show).stdout)
    assert (
        controller.run("systemd-analyze verify /etc/systemd/system/homelab-registry*@local.* 2>&1").stdout
        == ""
    )

    again = make(controller, "timer")
    assert steps(again) == []
    assert "Nothing to do: its last run, " in again

    controller.run(f"systemctl disable --now {TIMER} && sed -i s/weekly/daily/ /etc/systemd/system/{TIMER}")
    assert "exists but is not active" in run_make(controller, "plan").stdout
    changed_steps = steps(make(controller, "timer"))
    assert changed_steps[:2] == [
        f"write /etc/systemd/system/{TIMER}: its content is not as it should be",
        f"enable {TIMER}: it is disabled, inactive",
    ]
    assert controller.run(show).stdout.startswith("{ OnCalendar=Mon ")
    # An hour of the user's own, typed into the editor, stays.
    controller.write(
        "/tmp/editor", "#!/bin/sh\nprintf '[Timer]\\nOnCalendar=\\nOnCalendar=Sat 12:00\\n' > $1\n", "0755"
    )
    edit = of_local(pages.in_text("docs/how-it-works.md", "systemctl edit "))
    controller.run(f"SYSTEMD_EDITOR=/tmp/editor script -qec '{edit}' /dev/null")
    assert steps(make(controller, "timer")) == []
    assert controller.run(show).stdout.startswith("{ OnCalendar=Sat *-*-* 12:00:00 ;")
    controller.run(f"rm -r /etc/systemd/system/{TIMER}.d && systemctl daemon-reload")

    make(controller, "timer-off")
    assert controller.run(FILES).stdout == before
    assert "homelab-registry@" not in controller.run("systemctl list-units --all --no-pager").stdout
    assert "Nothing to do" in make(controller, "timer-off")


def test_a_failure_is_reported_until_a_timer_run_succeeds(with_timer: BenchHost) -> None:
    host = with_timer
    host.write("/usr/local/bin/tell-me", "#!/bin/sh\ncat > /tmp/program\n", "0755")
    host.write("/usr/sbin/sendmail", "#!/bin/sh\ncat > /tmp/mail\n", "0755")  # every mail server has it
    host.run(
        f"echo 'registry_timer_program = \"/usr/local/bin/tell-me\"' >> {PROJECT}/inventories/group_data/local.py"
    )
    assert "root by mail, registry_timer_program" in make(host, "timer")

    # As if the controller had been off for two weeks: the timer itself starts the run.
    host.write(f"/etc/systemd/system/{TIMER}.d/soon.conf", "[Timer]\nRandomizedDelaySec=0\n")
    with port_taken(host):
        with logged_in(host) as terminal:
            host.run(
                f"systemctl daemon-reload && systemctl stop {TIMER} && "
                f"touch -d '2 weeks ago' /var/lib/systemd/timers/stamp-{TIMER} && systemctl start {TIMER}"
            )
            message = read_notice(host)
            on_screen = screen(terminal)
        assert "Broadcast message from root@" in on_screen
        assert "port 443 is taken" in on_screen
        first, problem, printed, remedy = message.splitlines()
        assert re.fullmatch(
            r"The timer's run of [\d-]+ [\d:]+ on \S+ for inventories/local.py failed\.", first
        )
        assert problem.startswith(f"    {PORT_TAKEN}")
        assert printed == f"What it printed: {FOLDER}/output"
        assert remedy == f"When that is fixed: cd {PROJECT} && make timer INVENTORY=inventories/local.py"
        assert host.read("/tmp/program") == message
        assert host.read("/tmp/mail") == f"To: root\nSubject: homelab-registry: a run failed\n\n{message}"
        with logged_in(host) as terminal:
            assert first in screen(terminal).replace("\r", "")
        assert host.run(f"systemctl is-failed {SERVICE}").stdout == "failed\n"
        assert first.rstrip(".") in run_make(host, "plan").stdout
        assert first.rstrip(".") in host.run(VERIFY, check=False).stdout
        tried = run_make(host, "timer")
        assert tried.exit_code != 0
        assert PORT_TAKEN in tried.stdout

    # A manual run succeeds but still reports the failure, since it does not test the timer.
    by_hand = of_local(pages.in_text("docs/how-it-works.md", ".venv/bin/pyinfra "))
    assert "The timer's run of " in host.run(f"cd {PROJECT} && {by_hand} 2>&1").stdout
    assert "The timer is on: its last run, " in make(host, "timer")
    host.run(f"! test -e {FOLDER}/failed && ! test -e /etc/motd.d && ! systemctl is-failed {SERVICE}")
    assert "The timer's run of " not in make(host, "plan")
    assert "1 passed" in host.run(VERIFY).stdout
    host.run(
        f"rm -r /etc/systemd/system/{TIMER}.d /usr/sbin/sendmail && sed -i /timer_program/d {PROJECT}/inventories/group_data/local.py"
    )


def test_failures_before_the_run_starts_are_reported(with_timer: BenchHost) -> None:
    host = with_timer
    for moved, expected in (
        (
            PROJECT,
            f"    {PROJECT} is not there, or no longer holds the project; run make timer where it is now\n",
        ),
        (f"{PROJECT}/.venv", f"    the Python of {PROJECT}/.venv is gone; rm -r {PROJECT}/.venv && make"),
    ):
        host.run(f"mv {moved} {moved}.away")
        assert expected in failure_notice(host)
        host.run(f"mv {moved}.away {moved}")
        host.run(f"systemctl start {SERVICE}")
    host.run(f"cp {PROJECT}/inventories/group_data/local.py /tmp/kept")
    host.run(f"echo 'registry_prot = 1' >> {PROJECT}/inventories/group_data/local.py")
    assert "    registry_prot (inventories/group_data/local.py): unknown key; " in failure_notice(host)
    host.run(f"cp /tmp/kept {PROJECT}/inventories/group_data/local.py && systemctl start {SERVICE}")

    host.run(f"systemctl start --no-block {SERVICE} && systemctl kill -s KILL {SERVICE}")
    assert "    It ended without saying why (signal, KILL)." in read_notice(host)
    host.run(f"systemctl start {SERVICE}")


def test_the_timer_waits_for_a_manual_run(with_timer: BenchHost) -> None:
    host = with_timer
    host.run(f"rm {FOLDER}/succeeded")
    held = f"flock {PROJECT}/state/local sh -c 'touch /tmp/held; while [ -e /tmp/held ]; do sleep 0.1; done'"
    host.run(f"nohup {held} >/dev/null 2>&1 &")
    host.wait_until("test -e /tmp/held", 20, "the lock")
    host.run(f"systemctl start --no-block {SERVICE}")
    host.wait_until("pgrep -f 'pyinfra -y inventories/local.py'", 20, "the timer's run")
    off = run_make(host, "timer-off")
    assert off.exit_code != 0
    assert "the timer's run for inventories/local.py is under way; wait for its end" in off.stdout
    host.run("rm /tmp/held")
    host.wait_until(f"test -e {FOLDER}/succeeded", 120, "a run that went well")


def test_a_second_project_with_the_same_inventory_name_is_refused(with_timer: BenchHost) -> None:
    host = with_timer
    host.run(f"cp -a {PROJECT} /opt/second")
    refused = host.run(
        "cd /opt/second && .venv/bin/python -m tasks.timer on inventories/local.py 2>&1", check=False
    )
    assert refused.exit_code == 1
    assert f"{TIMER} exists already, for the project in {PROJECT}; " in refused.stdout
    host.run("rm -r /opt/second")


def test_an_inventory_name_with_special_characters(controller: BenchHost) -> None:
    """The name is part of unit names and of the script's path, which systemd parses by its own rules."""
    host, inventory, name = controller, "inventories/a lab, 100%n.py", r"a\x20lab\x2c\x20100\x25n"
    host.run(
        f"cd {PROJECT} && cp inventories/local.py '{inventory}' && cd inventories/group_data"
        " && echo 'registry_state_dir = \"state/local\"' > 'a lab, 100%n.py'"
    )
    switch = f"cd {PROJECT} && .venv/bin/python -m tasks.timer"
    assert "The timer is on: its last run, " in host.run(f"{switch} on '{inventory}' 2>&1").stdout
    assert f"homelab-registry@{name}.timer" in host.run("systemctl list-timers --no-pager").stdout
    described = host.run(f"systemctl show --value -p Description '{SERVICE.replace('local', name)}'").stdout
    assert described == f"homelab-registry: deploy.py for {inventory}\n"
    with port_taken(host):
        host.run(f"systemctl start '{SERVICE.replace('local', name)}'", check=False)
        host.wait_until(
            f"grep -q 'port 443 is taken' '/etc/motd.d/homelab-registry-{name}'", 60, "the notice"
        )
    host.run(f"{switch} on '{inventory}' && {switch} off '{inventory}'")
    host.run(f"cd {PROJECT}/inventories && rm 'a lab, 100%n.py' 'group_data/a lab, 100%n.py'")


def test_inventories_and_state_go_on_elsewhere(controller: BenchHost) -> None:
    """After this machine has become one of an inventory of its own."""
    host = controller
    host.run(
        f"cd {PROJECT}/inventories && cp local.py yours.py && cp group_data/local.py group_data/yours.py"
    )
    grow = pages.block("docs/by-task.md", "mv state/local ")
    assert "Nothing to do on 1 host (" in host.run(f"cd {PROJECT}; {{ {grow}\n}} 2>&1").stdout
    move = pages.block("docs/lost-or-stolen.md", "mkdir -p ~/homelab")
    moved = host.run(f"set -e; cd {PROJECT}; {{ {move}\n}} 2>&1").stdout
    assert "Nothing to do on 1 host (" in moved
    assert "The timer is on: its last run, " in moved
    status = pages.in_text("docs/how-it-works.md", ".venv/bin/python -m tasks.cli.status ")
    host.run(f"cd {PROJECT} && {status.replace('INVENTORY', '~/homelab/inventories/yours.py')}")
    host.run(f"cd {PROJECT} && make timer-off HOME_DIR=~/homelab INVENTORY=inventories/yours.py")


def test_an_unprivileged_user_can_have_a_timer(controller: BenchHost) -> None:
    """The timer runs in the user's own service manager, and needs an SSH key without a passphrase."""
    host, home = controller, "/home/ops"
    host.run(
        "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y dbus libpam-systemd </dev/null"
        " && systemctl daemon-reload && systemctl start dbus systemd-logind"
        " && useradd -m -s /bin/bash ops && mkdir -p -m 0700 /root/.ssh"
    )
    host.write(
        f"{home}/lab.py",
        f"registry = [('nas', {{'ssh_hostname': {host.address!r}, 'ssh_user': 'root'}})]\ndocker_hosts = ['nas']\n",
    )
    host.write(f"{home}/group_data/lab.py", f"registry_state_dir = '{home}/state'\nregistry_port = 5443\n")

    def as_ops(command: str, good: bool = True) -> str:
        ran = host.run(f"su - ops -c {shlex.quote(command)} 2>&1", check=False)
        assert (ran.exit_code == 0) is good, ran.stdout
        return ran.stdout

    timer = f"cd {PROJECT} && make timer INVENTORY={home}/lab.py"
    assert (
        "lingering cannot be enabled for ops; run loginctl enable-linger ops as root, then run again"
        in as_ops(timer, False)
    )
    host.run(pages.in_text("docs/messages.md", "loginctl enable-linger ").replace("USER", "ops"))
    as_ops("mkdir -p -m 0700 .ssh && ssh-keygen -q -t ed25519 -N secret-word -f .ssh/id_ed25519")
    host.run(f"cat {home}/.ssh/id_ed25519.pub >> /root/.ssh/authorized_keys")
    failed = as_ops(timer, False)
    assert (
        "[nas] cannot be reached: the SSH keys in ~/.ssh have a passphrase, and no ssh-agent has them"
        in failed
    )
    assert "It has no terminal and no ssh-agent" in failed
    as_ops("ssh-keygen -q -p -P secret-word -N '' -f .ssh/id_ed25519")
    host.run("docker rm -f homelab-registry homelab-registry-gateway; rm -r /etc/homelab-registry")
    assert "The timer is on: its last run, " in as_ops(timer)
    assert "Nothing to do: " in as_ops(timer)
    user = "export XDG_RUNTIME_DIR=/run/user/$(id -u)"
    timers = pages.in_text("docs/how-it-works.md", "systemctl --user list-timers")
    assert "homelab-registry@lab.timer" in as_ops(f"{user}; {timers}")
    journal = pages.in_text("docs/how-it-works.md", "journalctl --user ").replace("NAME", "lab")
    assert "Finished homelab-registry@lab.service" in as_ops(f"{user}; {journal}")
    as_ops(f"cd {PROJECT} && make timer-off INVENTORY={home}/lab.py")
    left = as_ops("find .config .local -name '*homelab*'")
    assert left == ""
