"""What the real command line says before any host is connected to: bad inventories, bad options, a locked state.

The hosts are pyinfra's `@fake` ones, which answer what the inventory says and do nothing; "Connected" would show that
one was reached.
"""

from __future__ import annotations

import gzip
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tasks.docker_hosts import plan as docker_hosts
from tasks.registry import desired as layout
from tasks.settings.load import Settings
from tasks.state.store import Store
from tests.operations.runs import ROOT, Ran, pyinfra

STEM = "lab_of_nobody"
"""The inventories' file name, and so the name of the folder in state/ that must not be made."""

SECRET = "hunter2-hunter2"
GOOD = 'registry = ["@fake/nas"]\ndocker_hosts = ["@fake/nas", "@fake/pi"]\n'


def answering_hosts() -> str:
    """Return an inventory of hosts that answer every fact as fresh hosts: Debian with Docker Engine."""
    settings = Settings()
    of_registry = [
        *(f"path|{path}" for path in layout.paths(settings)),
        "route|eth0|192.0.2.10", "has|eth0|192.0.2.10", f"mount|{settings.registry_storage_path}|/ /dev/sda1 ext4 rw",
        "installed|", "served|", "listener|", "handshake|yes", "engine|running",
        "network|bridge", "end",
    ]  # fmt: skip
    of_docker_hosts = [
        *(f"path|{path}" for path in docker_hosts.paths(settings)),
        "engine|/etc/docker|/etc/docker/daemon.json",
        f"hosts|{b64encode(gzip.compress(b'127.0.0.1 localhost')).decode()}",
        "end",
    ]
    return f"""
import time

_of_machine = ["rights|root", f"time|{{time.time()}}", "family|debian ", "client|yes", "engine|running", "end"]
_answers = {{"rights=root": _of_machine, "s_client": {of_registry!r}, "emit_text": {of_docker_hosts!r}}}
registry = [("@fake/nas", {{"fake_responses": _answers}})]
docker_hosts = ["@fake/nas", ("@fake/pi", {{"fake_responses": _answers}})]
"""


@dataclass(frozen=True)
class Refused:
    """A command line that is refused with `lines`, in which {0} is the inventory's folder."""

    name: str
    lines: Sequence[str]
    inventory: str = GOOD
    files: Mapping[str, str] = field(default_factory=dict)
    arguments: Sequence[str] = ("-y",)
    path: str | None = None
    deploy: str = "deploy.py"
    more: Sequence[str] = ()

    def begin(self, folder: Path) -> Ran:
        folder.mkdir()
        for name, text in {f"{STEM}.py": self.inventory, **self.files}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        arguments = [argument.format(folder) for argument in self.arguments]
        state = ("--data", f"registry_state_dir={folder}/state")
        path = (self.path or f"{{0}}/{STEM}.py").format(folder)
        deploys = [name.format(folder) for name in (self.deploy, *self.more)]
        return pyinfra(*arguments, *state, path, *deploys)


FILE, ALL, OWN = f"{{0}}/{STEM}.py", "{0}/group_data/all.py", f"{{0}}/group_data/{STEM}.py"
PORT = "must be a port, 1 to 65535"
NOT_READ_HERE = "settings are not read here, and no group of hosts may begin with registry_"
PASSWORD = (
    "a sudo password cannot be used, since pyinfra would put it into the arguments of a process; "
    "log in as root or allow passwordless sudo"
)

AS_ROOT = (
    "all is done as root, and a run finds out how to become root; leave it out, and log in as root or with "
    "passwordless sudo"
)

OF_ALL_HOSTS = (
    "{} is for all hosts, since each must trust the new CA; leave out --limit, and name hosts that are gone "
    "for good with --data registry_excused_hosts=NAME"
)

REFUSED = [
    *(
        Refused(
            f"a part of the hosts for {deploy}",
            [OF_ALL_HOSTS.format(deploy)],
            arguments=("-y", "--limit", "@fake/nas"),
            deploy=deploy,
        )
        for deploy in ("deploys/rotate_ca.py", "deploys/retire_ca.py")
    ),
    Refused(
        "all.py",
        [f"registry_admin_password ({ALL}): unknown key; {ALL} lists all keys",
         f"registry_port = 0 ({ALL}): {PORT}"],
        files={"group_data/all.py": f"registry_port = 0\nregistry_admin_password = {SECRET!r}\n"},
    ),
    Refused(
        "the inventory's own group data",
        [f"registry_hostname = 'registry' ({OWN}): must be a lower-case DNS name with a dot (RFC 1123), "
         "not an address, not below localhost",
         f"registry_accounts['admin'] = (not shown, it may be a password) ({OWN}): must be "
         f"{Settings.model_fields['registry_accounts'].description}"],
        files={f"group_data/{STEM}.py": f"registry_hostname = 'registry'\nregistry_accounts = {{'admin': {SECRET!r}}}\n"},
    ),
    Refused(
        "a host's own data",
        [f"registry_login_users = 'me' ({FILE}, host @fake/nas): must be "
         "a list of system users (useradd(8)), without duplicates, or a dict with user: account"],
        'registry = [("@fake/nas", {"registry_login_users": "me"})]\n',
    ),
    Refused(
        "--data",
        [f"registry_password (--data): unknown key; {ALL} lists all keys",
         f"registry_port = 65536 (--data): {PORT}"],
        arguments=("-y", "--data", "registry_port=65536", "--data", f"registry_password={SECRET}"),
    ),
    Refused(
        "--group-data",
        ["registry_port = 0 ({0}/more/all.py): " + PORT],
        files={"more/all.py": "registry_port = 0\n"},
        arguments=("-y", "--group-data", "{0}/more"),
    ),
    Refused(
        "a plain line and a list in the inventory",
        [f"registry_port = 5443 ({FILE}): {NOT_READ_HERE}; put it into {OWN}",
         f"registry_names ({FILE}): {NOT_READ_HERE}; did you mean registry_extra_names?"],
        GOOD + 'registry_port = 5443\nregistry_names = ["x"]\n',
    ),
    Refused(
        "data of a group, in the inventory and in a file",
        [f"registry_port = 5443 ({FILE}, group registry): settings are not read here; put it into {OWN}",
         "registry_login_users = ['me'] ({0}/group_data/docker_hosts.py): settings are not read here; "
         f"put it into {OWN}"],
        'registry = (["@fake/nas"], {"registry_port": 5443})\ndocker_hosts = ["@fake/nas"]\n',
        files={"group_data/docker_hosts.py": 'registry_login_users = ["me"]\n'},
    ),
    Refused(
        "no registry host",
        [f"registry = [] ({FILE}): must be a group of exactly one host"],
        'docker_hosts = ["@fake/nas"]\n',
    ),
    Refused(
        "a syntax error",
        [f"{FILE} line 2: '[' was never closed (SyntaxError); correct that line, or the one before it"],
        '"""Mine."""\nregistry = ["@fake/nas"\n',
    ),
    Refused(
        "a mistake in the inventory's own group data, of which the secret is not shown",
        [f'{OWN} line 2: a word without quotes (NameError); write texts and hosts in quotes, as in "nas"'],
        files={f"group_data/{STEM}.py": f"registry_port = 5443\nregistry_hostname = {SECRET.replace('-', '_')}\n"},
    ),
    Refused(
        "its own mistakes alone, of two inventories",
        [f"registry_port = 0 ({OWN}): {PORT}"],
        files={f"group_data/{STEM}.py": "registry_port = 0\n", "other.py": GOOD,
               "group_data/other.py": "registry_port = = 5443\n"},
    ),
    Refused(
        "a backup to nowhere",
        ["nothing keeps backups; put a host into the group backup_hosts, or set registry_backup_folder (on another disk "
         "of the registry host) or registry_backup_program: see docs/by-task.md, Back up"],
        deploy="deploys/backup.py",
    ),
    Refused(
        "a restore of nothing",
        [f"no backup is named; make restore FROM=latest INVENTORY={FILE} (or HOST:latest, a backup's name, a folder of the "
         "registry host)"],
        deploy="deploys/restore.py",
    ),
    Refused(
        "a group that does nothing",
        [f"k3s_nodes ({FILE}): @fake/pi is in no group that does anything; did you mean cluster_nodes?"],
        'registry = ["@fake/nas"]\nk3s_nodes = ["@fake/pi"]\n',
    ),
    Refused(
        "a host in all alone",
        [f"all ({FILE}): @fake/pi is in no group that does anything; put it into registry, docker_hosts, cluster_nodes, "
         "cluster_control or backup_hosts"],
        'registry = ["@fake/nas"]\nall = ["@fake/nas", "@fake/pi"]\n',
    ),
    Refused(
        "--limit with a slip",
        ["--limit @fake/nsa: no host or group of the inventory has that name; did you mean @fake/nas? There are "
         f"@fake/nas, @fake/pi, and the groups registry, docker_hosts, {STEM}"],
        arguments=("-y", "--limit", "@fake/pi", "--limit", "@fake/nsa"),
    ),
    Refused(
        "--limit with a comma, and --exclude that excludes nothing",
        ["--limit registry,@fake/pi: no host or group of the inventory has that name; give it once for each: "
         "--limit registry --limit @fake/pi",
         "--exclude box*: no host or group of the inventory has that name; there are @fake/nas, @fake/pi, and the "
         f"groups registry, docker_hosts, {STEM}"],
        arguments=("--dry", "--limit", "registry,@fake/pi", "--exclude", "box*"),
    ),
    Refused(
        "--limit and --exclude that leave no host",
        ["--exclude leaves no host; leave out one of them"],
        arguments=("-y", "--limit", "registry", "--exclude", "*n?s"),
    ),
    Refused(
        "no file",
        ["@local is not an inventory file; give one, for example inventories/local.py"],
        path="@local",
    ),
    Refused(
        "a sudo password is to be asked for, and nobody to ask",
        [PASSWORD, "there is no terminal to ask on; give -y to go on without asking, or --dry for a plan"],
        arguments=("--use-sudo-password",),
    ),
    Refused(
        "a sudo password in the inventory",
        [PASSWORD],
        f'registry = [("@fake/nas", {{"_sudo_password": {SECRET!r}}})]\n',
    ),
    Refused(
        "options that pyinfra ignores, or makes a traceback of",
        ["inventories/homelab.py has hosts, and is no deploy file; one run is for one inventory",
         "--ssh-password-prompt: there is no terminal to ask on; use a key (ssh_key)",
         "--parallel 0: must be a number of hosts, 1 or more",
         "--fail-percent 101: must be a percentage, 0 to 100",
         "--retry -1: must be a number of tries, 0 or more",
         "--retry-delay -1: must be a number of seconds, 0 or more",
         "--group-data {0}/nowhere: there is no such folder"],
        arguments=("-y", "--ssh-password-prompt", "--parallel", "0", "--fail-percent", "101", "--retry", "-1",
                   "--retry-delay", "-1", "--group-data", "{0}/nowhere"),
        deploy="inventories/homelab.py",
    ),
    Refused(
        "--data that is half",
        ["--data without a value; write --data NAME=VALUE", "--data without a name; write --data NAME=VALUE"],
        arguments=("-y", "--data", SECRET, "--data", f"={SECRET}"),
    ),
    Refused(
        "deploy files that cannot be run",
        ["{0}/more/mine.py line 1: invalid syntax (SyntaxError); correct that line, or the one before it",
         "{0}/more/folder.py cannot be read: Is a directory; give a deploy file, for example deploy.py"],
        files={"more/mine.py": "x = = 1\n", "more/folder.py/x": ""},
        deploy="{0}/more/mine.py",
        more=("{0}/more/folder.py",),
    ),
    Refused(
        "other users than root",
        [f"--su-user: {AS_ROOT}", f"--dzdo: {AS_ROOT}", f"_sudo_user: {AS_ROOT}"],
        'registry = [("@fake/nas", {"_sudo_user": "me"})]\n',
        arguments=("-y", "--dzdo", "--su-user", "me"),
    ),
    Refused(
        "--limit without a name",
        ["--limit '': no host or group of the inventory has that name; there are @fake/nas, @fake/pi, and the groups "
         f"registry, docker_hosts, {STEM}"],
        arguments=("-y", "--limit", ""),
    ),
    Refused(
        "twice the same work",
        ["deploys/adopt.py is given twice"],
        deploy="deploys/adopt.py",
        more=("deploys/adopt.py",),
    ),
    Refused(
        "a misspelled inventory",
        ["{0}/lab_of_nobdy.py is not an inventory file; did you mean {0}/lab_of_nobody.py?"],
        path="{0}/lab_of_nobdy.py",
    ),
    Refused(
        "a text for a group, and a host whose data is no dict",
        [f"registry = '@local' ({FILE} line 1): must be a list of hosts; write registry = [\"@local\"]",
         f'{FILE} line 2: a host is a name, or a name and its data; write ("builder", {{{{"ssh_hostname": "192.0.2.11"}}}})'],
        'registry = "@local"\ndocker_hosts = [("builder", "192.0.2.11")]\n',
    ),
    Refused(
        "a user in a name, and a port that is a text",
        [f'{FILE} line 1: "pi@192.0.2.10" is no name or address alone; write ("192.0.2.10", {{{{"ssh_user": "pi"}}}})',
         f"ssh_port = '2222' ({FILE} line 2): must be a whole number, as in 2222"],
        'registry = ["pi@192.0.2.10"]\ndocker_hosts = [("builder", {"ssh_port": "2222"})]\n',
    ),
    Refused(
        "all at once",
        [f"docker_host ({FILE}): unknown group; did you mean docker_hosts?",
         f"registry = ['@fake/nas', '@fake/pi'] ({FILE}): must be a group of exactly one host",
         f"cluster_control = ['@fake/nas', '@fake/pi'] ({FILE}): must be a group of at most one host",
         f"registry_port = 5443 ({FILE}): {NOT_READ_HERE}; put it into {OWN}",
         f"registry_names ({FILE}): {NOT_READ_HERE}; did you mean registry_extra_names?",
         f"registry_token ({FILE}, group cluster_control): settings are not read here; {ALL} lists all keys",
         f"registry_delete_enabled = False ({{0}}/group_data/docker_hosts.py): settings are not read here; put it into {OWN}",
         f"registry_port = '443' ({ALL}): {PORT}",
         f"registry_prot ({OWN}): unknown key; did you mean registry_port?",
         f"registry_system_trust = 1 ({FILE}, host @fake/nas): must be True or False",
         "registry_ca_days = 0 (--data): must be a whole number of days, 1 to 36500"],
        'registry = [("@fake/nas", {"registry_system_trust": 1}), "@fake/pi"]\n'
        'docker_host = ["@fake/pi"]\n'
        f'cluster_control = (["@fake/nas", "@fake/pi"], {{"registry_token": {SECRET!r}}})\n'
        'registry_port = 5443\nregistry_names = ["x"]\n',
        files={"group_data/all.py": 'registry_port = "443"\n',
               f"group_data/{STEM}.py": "registry_prot = 5443\n",
               "group_data/docker_hosts.py": "registry_delete_enabled = False\n"},
        arguments=("-y", "--data", "registry_ca_days=0"),
    ),
]  # fmt: skip


@pytest.fixture(scope="module", params=REFUSED, ids=lambda case: case.name)
def refused(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Refused, Path, Ran]:
    """Each of them, with its folder, run."""
    folder = tmp_path_factory.mktemp("refused") / "inventories"
    return request.param, folder, request.param.begin(folder)


def test_it_is_refused_with_a_line_for_each_mistake(refused: tuple[Refused, Path, Ran]) -> None:
    case, folder, ran = refused
    assert ran.refusal == [line.format(folder) for line in case.lines]
    assert ran.exit_code == 1


def test_nothing_was_connected_to_or_made_and_no_secret_is_shown(refused: tuple[Refused, Path, Ran]) -> None:
    case, folder, ran = refused
    assert "Connect" not in ran.output
    assert "Traceback" not in ran.output
    assert SECRET not in ran.output
    assert sorted(path.name for path in folder.iterdir() if path.name != "__pycache__") == sorted(
        {f"{STEM}.py", *(name.partition("/")[0] for name in case.files)}
    )
    assert not (ROOT / "state" / STEM).exists()


def test_the_table_is_a_table() -> None:
    assert len({case.name for case in REFUSED}) == len(REFUSED) == 33


# Commands that need no settings.


def test_commands_other_than_a_deploy_pass(tmp_path: Path) -> None:
    """This also proves that a run which connects prints "Connected"."""
    bad = tmp_path / f"{STEM}.py"
    bad.write_text(GOOD + f"registry_port = 5443\nregistry_password = {SECRET!r}\n")
    ran = pyinfra("-y", str(bad), "exec", "--", "true")
    assert ran.exit_code == 0
    assert sorted(re.findall(r"\[(\S+)\] +Connected", ran.output)) == ["@fake/nas", "@fake/pi"]
    looked = pyinfra(str(bad), "debug-inventory")
    assert looked.exit_code == 0
    assert "Groups: registry, docker_hosts" in looked.output
    for each in (ran, looked):
        assert SECRET not in each.output
        assert "Traceback" not in each.output
        assert each.refusal == []
    assert not (ROOT / "state" / STEM).exists()


# Not the project's own folder, or its `config.py`.


@pytest.mark.parametrize("deploy", ["deploy.py", "deploys/rotate_ca.py"])
def test_a_run_from_another_folder_is_told_where_to_go(tmp_path: Path, deploy: str) -> None:
    (tmp_path / "lab.py").write_text(GOOD)
    ran = pyinfra("-y", "--chdir", str(tmp_path), "lab.py", f"{ROOT}/{deploy}")
    assert ran.output.splitlines()[-1].endswith(f": run it from the project's folder: cd {ROOT}")
    assert (ran.exit_code, "Traceback" in ran.output) == (1, False)


def test_a_run_without_config_py_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "lab.py").write_text(GOOD)
    ran = pyinfra("-y", "--config", "none.py", f"{tmp_path}/lab.py", "deploy.py")
    said = "config.py was not read; run it from the project's folder, without --config"
    assert ran.output.splitlines()[-1].endswith(f": {said}")
    assert (ran.exit_code, "Traceback" in ran.output) == (1, False)


# A locked state.


def test_one_run_at_a_time_and_a_plan_at_any_time(tmp_path: Path) -> None:
    inventory, state = tmp_path / f"{STEM}.py", tmp_path / "state"
    inventory.write_text(answering_hosts())
    data = ("--data", f"registry_state_dir={state}")
    with Store(state).lock(), ThreadPoolExecutor(2) as pool:
        before = sorted(state.iterdir())
        both = pool.map(lambda mode: pyinfra(mode, *data, str(inventory), "deploy.py"), ("-y", "--dry"))
        ran, plan = both
        after = sorted(state.iterdir())
    assert ran.refusal == [f"another run is using {state}; wait until it has ended, then run again"]
    assert ran.exit_code == 1
    assert "Connect" not in ran.output
    assert "Traceback" not in ran.output
    assert plan.exit_code == 0
    assert f"] make a certificate authority in {state}: there is none yet" in plan.output
    assert after == before


@pytest.mark.parametrize("mode", ["-y", "--dry"])
def test_a_state_folder_with_other_things_in_it_is_refused(tmp_path: Path, mode: str) -> None:
    inventory, folder = tmp_path / f"{STEM}.py", tmp_path / ".git"
    inventory.write_text(GOOD)
    folder.mkdir(mode=0o755)
    (folder / "HEAD").touch()
    ran = pyinfra(mode, "--data", f"registry_state_dir={folder}", str(inventory), "deploy.py")
    assert ran.refusal == [
        f"registry_state_dir {folder} has other things in it (HEAD); give the state a folder of its own, such as "
        f"{folder}/homelab-registry, and run again"
    ]
    assert ran.exit_code == 1
    assert [path.name for path in folder.iterdir()] == ["HEAD"]


@pytest.mark.parametrize("mode", ["-y", "--dry"])
def test_the_state_of_an_inventory_elsewhere_is_beside_it_and_is_never_recreated(
    tmp_path: Path, mode: str
) -> None:
    inventory, former = tmp_path / f"inventories/{STEM}.py", ROOT / "state" / STEM
    inventory.parent.mkdir()
    inventory.write_text(answering_hosts())
    plan = pyinfra("--dry", str(inventory), "deploy.py")
    assert f"] make a certificate authority in {tmp_path}/state/{STEM}: there is none yet" in plan.output
    (former / "authorities").mkdir(parents=True)
    try:
        ran = pyinfra(mode, str(inventory), "deploy.py")
    finally:
        (former / "authorities").rmdir()
        former.rmdir()
    assert ran.refusal == [
        f"the state of {inventory} belongs into {tmp_path}/state/{STEM}, and is in {former}; "
        f"mkdir -p {tmp_path}/state && mv -T {former} {tmp_path}/state/{STEM}, and run again"
    ]
    assert ran.exit_code == 1
    assert "Connect" not in ran.output
    assert not (tmp_path / "state").exists()


def test_an_unusable_state_folder_is_refused(tmp_path: Path) -> None:
    inventory, state = tmp_path / f"{STEM}.py", tmp_path / "state"
    inventory.write_text(GOOD)
    state.write_text("mine\n")
    ran = pyinfra("-y", "--data", f"registry_state_dir={state}", str(inventory), "deploy.py")
    assert ran.refusal == [f"{state} cannot be used: File exists; choose another registry_state_dir"]
    assert ran.exit_code == 1
    assert "Connect" not in ran.output
    assert state.read_text() == "mine\n"
