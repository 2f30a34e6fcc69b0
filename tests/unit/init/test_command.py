"""`make init`: its questions, its arguments, and the files that it writes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.init import ask, command, files
from tasks.init.hosts import NewHost
from tasks.init.probe import Found
from tasks.run.context import ROOT

INVENTORY = '''\
"""The hosts of yours. Settings go into group_data/yours.py."""

# The one host that serves the images.
registry = [
    ("nas", {"ssh_hostname": "192.0.2.10", "ssh_user": "admin"}),  # has Docker
]

# Hosts with Docker Engine that trust the registry.
docker_hosts = [
    "nas",
    "pi",
]

# Nodes of a cluster, and other hosts that pull. The container runtime is detected.
cluster_nodes = [
    ("k3s-1", {"ssh_hostname": "192.0.2.21", "ssh_port": 2222}),  # has K3s
]

# The host with kubectl and administrator rights, for the pull secrets.
cluster_control = [
    "k3s-1",
]
'''
HOSTS = {
    NewHost("nas", "192.0.2.10", "admin", groups=("registry", "docker_hosts")): Found(("docker",), "sudo"),
    NewHost("pi", "pi", groups=("docker_hosts",)): Found(problem="it is off"),
    NewHost("k3s-1", "192.0.2.21", port="2222", groups=("cluster_nodes", "cluster_control")): Found(("k3s",), "root"),
}  # fmt: skip


def rendered() -> dict[str, str]:
    return files.render(
        "yours", list(HOSTS), {host.name: seen for host, seen in HOSTS.items()}, "a.home.arpa"
    )


def test_the_files_of_an_inventory() -> None:
    texts = rendered()
    assert texts["yours.py"] == INVENTORY
    assert '\nregistry_hostname = "a.home.arpa"\n' in texts["group_data/yours.py"]


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "yours.py").touch()
    assert files.existing(tmp_path, "yours") == [f"{tmp_path}/yours.py"]
    with pytest.raises(FileExistsError):
        files.write(tmp_path, {"yours.py": "x"})
    assert (tmp_path / "yours.py").read_text() == ""


# On a terminal.


def answer(monkeypatch: pytest.MonkeyPatch, lines: list[str]) -> list[str]:
    """Answer the questions with `lines`, on hosts that are there but for `attic`; return what is asked, as it comes."""
    asked: list[str] = []

    def typed(prompt: str) -> str:
        asked.append(prompt)
        if not lines:
            raise EOFError
        return lines.pop(0)

    def look(host: NewHost) -> Found:
        if host.name == "attic":
            return Found(problem="it is off")
        return Found(("k3s",) if host.name == "k3s-1" else ("docker",), "root")

    monkeypatch.setattr("builtins.input", typed)
    monkeypatch.setattr(command, "look", look)
    monkeypatch.setattr(files, "problems", lambda *_: [])
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    return asked


def test_the_questions_and_what_they_come_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "inventories").mkdir()
    (tmp_path / "inventories/lab.py").touch()
    asked = answer(
        monkeypatch,
        [
            "lab", "all", "", "none", "", "", "nas=admin@192.0.2.10", "", "k3s-1", "nc", "a b", "attic", "", "attic", "y", "x", "d",
            "nas", "", "registry", "registry.home.arpa",
        ],
    )  # fmt: skip
    assert command.main(["--home", str(tmp_path)]) == 0
    inventory = tmp_path / "inventories/yours.py"
    kinds = "r = the registry, d = Docker host, n = cluster node, c = has kubectl; several: rd"
    assert asked == [
        "Name of the inventory [yours]: ",
        f"  {tmp_path}/inventories/lab.py exists, and is not overwritten; give the inventory another name\n"
        "Name of the inventory [yours]: ",
        "  an inventory cannot be named 'all'; use letters, digits, - and _, and no group's name\n"
        "Name of the inventory [yours]: ",
        f"{ask.ABOUT_KEYS}: ",
        f"  the SSH key none cannot be read: No such file or directory\n{ask.ABOUT_KEYS}: ",
        "Host: ",
        "Host: ",
        f"  What it is ({kinds}) [rd]: ",
        "Host: ",
        f"  What it is ({kinds}) [n]: ",
        "Host: ",
        "  'a b' is no host; write [NAME=][USER@]ADDRESS[:PORT], for example nas=admin@192.168.1.10, or @local\nHost: ",
        "  Keep it all the same? [y/N]: ",
        "Host: ",
        "  Keep it all the same? [y/N]: ",
        f"  What it is ({kinds}): ",
        f"  write one or several of r, d, n, c\n  What it is ({kinds}): ",
        "Host: ",
        "Host: ",
        "Name of the registry [registry.homelab.local]: ",
        "  must be a lower-case DNS name with a dot (RFC 1123), not an address, not below localhost\n"
        "Name of the registry [registry.homelab.local]: ",
    ]
    assert inventory.read_text() == (
        INVENTORY.replace('    "pi",\n', '    "attic",\n')
        .replace('("k3s-1", {"ssh_hostname": "192.0.2.21", "ssh_port": 2222}), ', '"k3s-1", ')
    )  # fmt: skip
    shown = capsys.readouterr().out.splitlines()
    assert ask.ABOUT_NAMES in shown
    assert "  registry has 0 hosts (none); it must have exactly one" in shown
    assert "  nas is in the list already" in shown
    assert shown[-5:] == [
        f"Wrote {inventory} and {tmp_path}/inventories/group_data/yours.py.",
        f"Not reached yet: attic (see above); correct that, or that line of {inventory}.",
        "Next:",
        f"    make plan INVENTORY={inventory}      # what a run would do; changes nothing",
        f"    make deploy INVENTORY={inventory}",
    ]


def test_a_key_is_tried_and_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    key = tmp_path / "lab"
    key.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    answer(monkeypatch, ["yours", str(key), "nas=192.0.2.10", "rd", "", "registry.home.arpa"])
    looked = []

    def look(host: NewHost) -> Found:
        looked.append(host.key)
        return Found(("docker",), "root")

    monkeypatch.setattr(command, "look", look)
    assert command.main(["--home", str(tmp_path)]) == 0
    assert looked == [str(key)]
    entry = f'    ("nas", {{"ssh_hostname": "192.0.2.10", "ssh_key": "{key}"}}),'
    assert entry in (tmp_path / "inventories/yours.py").read_text()


def test_who_stops_halfway_has_written_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer(monkeypatch, ["lab", "", "nas", "", ""])
    assert command.main(["--home", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "\nNothing was written.\n"
    assert list(tmp_path.iterdir()) == []


# Without one.


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], f"there is no terminal to ask on; {command.EXAMPLE}"),
        (["registry=@local"], f"the inventory has no name; {command.EXAMPLE}"),
        (["--name", "registry", "registry=@local"],
         "an inventory cannot be named 'registry'; use letters, digits, - and _, and no group's name"),
        (["--name", "lab", "--registry-name", "Lab", "registry=@local"],
         "must be a lower-case DNS name with a dot (RFC 1123), not an address, not below localhost"),
        (["--name", "lab", "docker_hosts=@local"], "registry has 0 hosts (none); it must have exactly one"),
    ],
)  # fmt: skip
def test_arguments_that_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    line: str,
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    assert command.main(["--home", str(tmp_path), *arguments]) == 1
    assert capsys.readouterr() == ("", f"{line}\n")
    assert list(tmp_path.iterdir()) == []


SSH = """#!/bin/sh
# Stands for ssh, and for a host that does not let in.
echo "given: $*" > "${0%/*}/given"
echo "op@pi: Permission denied (publickey)." >&2
exit 255
"""


def init(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "tasks.init", "--home", str(home), *arguments]
    return subprocess.run(
        line, cwd=ROOT, env={**os.environ, "PATH": f"{home}:{os.environ['PATH']}"}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_project_reads_what_is_written_before_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "ssh").write_text(SSH)
    (tmp_path / "ssh").chmod(0o755)
    hosts = ("registry=@local", "docker_hosts=@local,pi=op@192.0.2.11:2222")
    ran = init(tmp_path, "--name", "lab", "--registry-name", "registry.home.arpa", *hosts)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines()[0].startswith("@local: ")
    assert ran.stdout.splitlines()[1] == (
        "pi: op@pi: Permission denied (publickey); try it: ssh -p 2222 op@192.0.2.11 sudo -n true"
    )
    assert (tmp_path / "given").read_text() == (
        "given: -o BatchMode=yes -o ConnectTimeout=10 -o StrictHostKeyChecking=accept-new -p 2222 op@192.0.2.11 sh\n"
    )
    again = init(tmp_path, "--name", "lab", *hosts)
    assert again.stderr == (
        f"{tmp_path}/inventories/lab.py exists, and is not overwritten; give the inventory another name\n"
    )


def test_what_the_project_would_refuse_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "look", lambda _: Found())
    monkeypatch.setattr(files, "problems", lambda *_: ["one mistake", "another"])
    assert command.main(["--home", str(tmp_path), "--name", "lab", "registry=@local"]) == 1
    assert capsys.readouterr().err == "one mistake\nanother\n"
    assert list(tmp_path.iterdir()) == []
