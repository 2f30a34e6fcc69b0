"""One run with hosts that cannot be connected to, each in its own way: each is named once, and the others are finished."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import paramiko
import pytest

from tests.operations.runs import Ran, pyinfra
from tests.operations.ssh_servers import ADDRESS, HOST_KEY, ports
from tests.operations.test_command_line import answering_hosts
from tests.printed import not_finished, steps

HERE = "inventories/lab.py"
TRY = "ssh -p {port} -i {folder}/good -o UserKnownHostsFile={folder}/known_hosts op@127.0.0.1 sudo -n true"


@dataclass(frozen=True)
class Unreachable:
    """A host that the run cannot reach: `data` is added to that of `port`'s server.

    In the texts, {here} stands for the inventory's file and the host's line there, {line} for the line, {port} for the
    port and {folder} for the inventory's folder.
    """

    name: str
    problem: str
    remedy: str
    port: str = "keys"
    data: Mapping[str, object] = field(default_factory=dict)
    command: str = TRY
    without: tuple[str, ...] = ()
    written: str = ""


PORT = "correct ssh_port ({here})"
NO_SSH = "what answers at 127.0.0.1 port {port} is no SSH server"
SILENT = f"{NO_SSH}, or ends each connection at once"
SEE_LOG = f"see its log there (journalctl -u ssh), or {PORT}"
REFUSED = "the login as op with the key {folder}/good was refused by 127.0.0.1 port {port}"
COPY = "ssh-copy-id -p {port} -i {folder}/good.pub -o UserKnownHostsFile={folder}/known_hosts op@127.0.0.1"
LET_IN = "correct ssh_user ({here}), or let that key in (" + COPY + ")"
THROUGH = (
    "ssh -F {folder}/config -i {folder}/good -o UserKnownHostsFile={folder}/known_hosts op@HOST sudo -n true"
)
AS_CONFIGURED = {"ssh_config_file": "{folder}/config", "ssh_port": None}

HOSTS = [
    Unreachable("closes", SILENT, SEE_LOG, "closes"),
    Unreachable("resets", SILENT, SEE_LOG, "resets"),
    Unreachable("silent", SILENT, SEE_LOG, "silent", {"ssh_paramiko_connect_kwargs": {"timeout": 1}}),
    Unreachable("web", f"{NO_SSH}: HTTP/1.1 400 Bad Request", PORT, "web"),
    Unreachable("busy", f"{NO_SSH}: Exceeded MaxStartups", PORT, "busy"),
    Unreachable(
        "old",
        "the SSH server at 127.0.0.1 port {port} is too old: Incompatible version (1.5 instead of 2.0)",
        "update it, or " + PORT,
        "old",
    ),
    Unreachable(
        "none",
        "nothing accepts connections at 127.0.0.1 port {port}",
        "start its SSH server, or " + PORT,
        "none",
    ),
    Unreachable(
        "localhost",
        "nothing accepts connections at 127.0.0.1 port {port}",
        "start its SSH server, or " + PORT + ' (this machine, without SSH, is "@local")',
        "none",
    ),
    Unreachable(
        "off",
        "no answer from 127.0.0.1 port {port} (timed out)",
        "switch it on, let its firewall accept SSH, or correct ssh_hostname ({here})",
        "full",
        {"ssh_paramiko_connect_kwargs": {"timeout": 1}},
    ),
    Unreachable(
        "no-key",
        "its SSH key {folder}/missing does not exist",
        "correct ssh_key ({here})",
        data={"ssh_key": "{folder}/missing"},
        command=TRY.replace("good", "missing"),
    ),
    Unreachable(
        "public",
        "{folder}/good.pub is no private SSH key",
        "correct ssh_key ({here}): the private key is the file without .pub",
        data={"ssh_key": "{folder}/good.pub"},
        command=TRY.replace("good", "good.pub"),
    ),
    Unreachable(
        "passphrase",
        "its SSH key {folder}/locked has a passphrase, and there is no terminal to ask for it on",
        "give it to the agent (ssh-add {folder}/locked) and leave out ssh_key ({here})",
        data={"ssh_key": "{folder}/locked"},
        command=TRY.replace("good", "locked"),
    ),
    Unreachable(
        "wrong-passphrase",
        "its SSH key {folder}/locked could not be read: wrong passphrase, or of an old kind (DSA)",
        "correct ssh_key ({here})",
        data={"ssh_key": "{folder}/locked", "ssh_key_password": "hunter2-hunter2"},
        command=TRY.replace("good", "locked"),
    ),
    Unreachable("refused", REFUSED, LET_IN),
    Unreachable(
        "only-passwords",
        "the login as op with the key {folder}/good (it takes only password) was refused by 127.0.0.1 port {port}",
        LET_IN,
        "passwords",
    ),
    Unreachable(
        "password",
        "the login as op with the password was refused by 127.0.0.1 port {port}",
        LET_IN.replace("-i {folder}/good.pub ", ""),
        "passwords",
        {"ssh_password": "hunter2-hunter2", "ssh_look_for_keys": False, "ssh_allow_agent": False},
        command=TRY.replace("-i {folder}/good ", ""),
        without=("ssh_key",),
    ),
    Unreachable(
        "no-keys",
        "there is no SSH key to log in with: no ssh-agent answers (SSH_AUTH_SOCK), no key is in ~/.ssh, and the inventory "
        "has no ssh_key",
        'name one, as in ("no-keys", {{"ssh_key": "~/.ssh/id_ed25519"}}) ({here})',
        data={"ssh_look_for_keys": False, "ssh_allow_agent": False},
        command=TRY.replace("-i {folder}/good ", ""),
        without=("ssh_key",),
    ),
    Unreachable(
        "reinstalled",
        "its SSH host key is not the one in {folder}/other_hosts: it was installed again, or another host has its address",
        "if it was installed again, forget the old key (ssh-keygen -f {folder}/other_hosts -R '[127.0.0.1]:{port}')",
        data={"ssh_known_hosts_file": "{folder}/other_hosts"},
        command=TRY.replace("known_hosts", "other_hosts"),
    ),
    Unreachable(
        "unknown",
        "its SSH host key is in no known_hosts file, and ssh_strict_host_key_checking ({here}) accepts no other",
        "log in once by hand to accept it",
        data={"ssh_known_hosts_file": "{folder}/nobody", "ssh_strict_host_key_checking": "yes"},
        command=TRY.replace("known_hosts op", "nobody -o StrictHostKeyChecking=yes op"),
    ),
    Unreachable(
        "asks",
        "its SSH host key is in no known_hosts file, and there is no terminal to ask on",
        "log in once by hand to accept it",
        data={"ssh_known_hosts_file": "{folder}/nobody", "ssh_strict_host_key_checking": "ask"},
        command=TRY.replace("known_hosts op", "nobody -o StrictHostKeyChecking=ask op"),
    ),
    Unreachable(
        "strict",
        "Invalid value StrictHostKeyChecking=maybe",
        "correct {here}",
        data={"ssh_strict_host_key_checking": "maybe"},
        command=TRY.replace("op@", "-o StrictHostKeyChecking=maybe op@"),
    ),
    Unreachable(
        "no-folder",
        "{folder}/missing/known_hosts: No such file or directory",
        "make or correct that file (or {here})",
        data={"ssh_known_hosts_file": "{folder}/missing/known_hosts"},
        command=TRY.replace("known_hosts", "missing/known_hosts"),
    ),
    Unreachable(
        "elsewhere",
        "the name gone.invalid is not resolved (Name or service not known)",
        "correct ssh_hostname ({here})",
        data={"ssh_hostname": "gone.invalid"},
        command=TRY.replace("127.0.0.1", "gone.invalid"),
    ),
    Unreachable(
        "pi.invalid",
        "the name pi.invalid is not resolved (Name or service not known)",
        'correct it, or give its address: ("pi.invalid", {{"ssh_hostname": "ADDRESS"}}) ({here})',
        command=TRY.replace("127.0.0.1", "pi.invalid"),
        without=("ssh_hostname",),
    ),
    Unreachable(
        "nas.invalid",
        'a comma is missing: "nas" ".invalid" is one name',
        "put a comma between them ({here})",
        command=TRY.replace("127.0.0.1", "nas.invalid"),
        without=("ssh_hostname",),
        written="'nas' '.invalid'",
    ),
    Unreachable(
        "itself",
        "ProxyJump gate in {folder}/config is for gate itself as well, which never ends",
        "leave that host out there (Host * !gate)",
        data=AS_CONFIGURED | {"ssh_hostname": "gate"},
        command=THROUGH.replace("HOST", "gate"),
    ),
    Unreachable(
        "nested",
        "it is reached through outer, which has a ProxyJump of its own in {folder}/config, and pyinfra does not follow that",
        "name all jumps at this host (ProxyJump inner,outer)",
        data=AS_CONFIGURED | {"ssh_hostname": "far"},
        command=THROUGH.replace("HOST", "far"),
    ),
    Unreachable(
        "behind-nobody",
        "ProxyJump nobody.invalid: that name is not resolved (Name or service not known)",
        "correct {folder}/config",
        data=AS_CONFIGURED | {"ssh_hostname": "behind"},
        command=THROUGH.replace("HOST", "behind"),
    ),
    Unreachable(
        "not-jumping",
        "pyinfra takes ProxyJump none in {folder}/config for a host",
        "leave it out there, and use Host * !NAME",
        data=AS_CONFIGURED | {"ssh_hostname": "near"},
        command=THROUGH.replace("HOST", "near"),
    ),
    Unreachable(
        "broken-config",
        'Unparsable host "a',
        "correct {here}",
        data=AS_CONFIGURED | {"ssh_config_file": "{folder}/broken"},
        command=THROUGH.replace("config", "broken").replace("HOST", ADDRESS),
    ),
]

CONFIG = """
Host gate
  ProxyJump gate
Host inner
  HostName 127.0.0.1
  Port {none}
Host outer
  HostName 127.0.0.1
  Port {none}
  ProxyJump inner
Host far
  ProxyJump outer
Host behind
  ProxyJump nobody.invalid
Host near
  ProxyJump none
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ran, dict[str, str]]]:
    """The run, and by host the line that it must end with."""
    folder = tmp_path_factory.mktemp("inventories")
    key, locked = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()
    key.write_private_key_file(str(folder / "good"))
    locked.write_private_key_file(str(folder / "locked"), password="correct horse")
    (folder / "good.pub").write_text(f"{key.get_name()} {key.get_base64()}\n")
    (folder / "broken").write_text('Host "a\n')
    (folder / "nobody").touch()
    with ports() as numbers:
        (folder / "config").write_text(CONFIG.format(**numbers))
        for file, host_key in {"known_hosts": HOST_KEY, "other_hosts": key}.items():
            entry = f"{host_key.get_name()} {host_key.get_base64()}"
            (folder / file).write_text("".join(f"[{ADDRESS}]:{port} {entry}\n" for port in numbers.values()))
        lines, expected = answering_hosts().rstrip().removesuffix("]").splitlines(), {}
        lines[-1] += ","
        for host in HOSTS:
            common = {
                "ssh_hostname": ADDRESS, "ssh_port": numbers[host.port], "ssh_user": "op", "ssh_key": f"{folder}/good",
                "ssh_known_hosts_file": f"{folder}/known_hosts",
            }  # fmt: skip
            data = {
                name: value.format(folder=folder) if isinstance(value, str) else value
                for name, value in (common | dict(host.data)).items()
                if name not in host.without and value is not None
            }
            lines.append(f"    ({host.written or repr(host.name)}, {data!r}),")
            here = f"{folder}/lab.py line {len(lines)}"
            line = f"cannot be reached: {host.problem}; {host.remedy}, and try: {host.command}"
            expected[host.name] = line.format(here=here, folder=folder, port=numbers[host.port])
        data = {
            "ssh_hostname": ADDRESS, "ssh_port": numbers["drops"], "ssh_key": f"{folder}/good",
            "ssh_known_hosts_file": f"{folder}/known_hosts",
        }  # fmt: skip
        lines.append(f"    ('drops', {data!r}),")
        (folder / "lab.py").write_text("\n".join([*lines, "]\n"]))
        yield (
            pyinfra("--dry", "--data", f"registry_state_dir={folder}/state", f"{folder}/lab.py", "deploy.py"),
            expected,
        )


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host.name)
def test_each_host_is_named_once_with_the_reason_and_what_to_try(
    run: tuple[Ran, dict[str, str]], host: Unreachable
) -> None:
    ran, expected = run
    _, _, end = ran.output.partition("Not finished:")
    assert [line for line in end.splitlines() if f"[{host.name}]" in line] == [
        f"  [{host.name}] {expected[host.name]}"
    ]
    assert ran.output.count(f"[{host.name}]") == 1


def test_the_other_hosts_are_finished_without_a_traceback_or_a_secret(
    run: tuple[Ran, dict[str, str]],
) -> None:
    ran, _ = run
    assert ran.exit_code == 1
    assert steps(ran.output, "@fake/nas")
    assert steps(ran.output, "@fake/pi")
    assert "Traceback" not in ran.output
    assert "hunter2" not in ran.output


def test_a_known_hosts_file_that_the_first_login_makes_is_no_complaint(
    run: tuple[Ran, dict[str, str]],
) -> None:
    ran, _ = run
    assert "Failed to load host keys" not in ran.output


def test_a_connection_that_is_lost_is_the_failure_of_that_host_alone(
    run: tuple[Ran, dict[str, str]],
) -> None:
    ran, _ = run
    assert re.search(r"\[drops\] .*the connection was closed", ran.output)
    assert [line for line in not_finished(ran.output) if "[drops]" in line] == [
        "[drops] its rights and its clock could not be read (see above); fix that and run again"
    ]
