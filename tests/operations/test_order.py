"""The registry is deployed before its clients, whichever groups the hosts are in.

The hosts are pyinfra's `@fake` ones: they answer facts as fresh hosts would, and every command succeeds.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import printed
from tests.operations.runs import pyinfra
from tests.operations.test_command_line import STEM, answering_hosts

CLUSTER = [
    "kubectl|kubectl|/etc/kubernetes/admin.conf", "namespace|default|", "namespace|kube-public|",
    f"node|node|{b'192.0.2.21'.hex()}", f"node|late|{b'192.0.2.22'.hex()}", "complete|yes", "end",
]  # fmt: skip


def test_hosts_of_one_group_each_come_after_the_registry(tmp_path: Path) -> None:
    inventory = tmp_path / f"{STEM}.py"
    one_group_each = (
        'docker_hosts = [docker_hosts[1]]\ncluster_nodes = [("@fake/node", {"fake_responses": _answers})]\n'
        f"_answers = {{'go-template': {CLUSTER!r}, **_answers}}\n"
        'cluster_control = [("@fake/control", {"fake_responses": _answers})]\n'
    )
    inventory.write_text(answering_hosts() + one_group_each)
    ran = pyinfra("-y", "-vv", "--data", f"registry_state_dir={tmp_path}/state", str(inventory), "deploy.py")
    assert re.findall(r"Starting operation: (.*) \|", ran.output) == [
        "Docker Engine", "Registry", "Registry", "Registry", "Registry", "Docker hosts", "Cluster nodes",
        "Cluster", "Clients", "Rotations", "Rotations",
    ]  # fmt: skip
    assert printed.row(ran.output, "Pods") == "can pull in: default"
    unlisted = (
        "[@fake/control] nodes of the cluster that are not in cluster_nodes: late; pods there cannot pull"
    )
    assert unlisted in ran.output
    assert printed.by_runtime(ran.output, "Has the CA")["Docker"] == [
        "@fake/pi"
    ]  # a fake engine cannot be asked
    assert "not finished, so no client" not in ran.output


def test_clients_alone_are_told_which_host_they_need(tmp_path: Path) -> None:
    inventory = tmp_path / f"{STEM}.py"
    inventory.write_text(answering_hosts())
    arguments = ("-y", "--limit", "@fake/pi", "--data", f"registry_state_dir={tmp_path}/state")
    ran = pyinfra(*arguments, str(inventory), "deploy.py")
    assert printed.not_finished(ran.output) == [
        "[@fake/pi] the registry host @fake/nas is left out by --limit or --exclude, and clients need it; run again with "
        "--limit @fake/nas too, or without these options"
    ]


OFF = 'docker_hosts += [("off.invalid", {"ssh_user": "op"})]\n'


@pytest.mark.parametrize(
    ("deploys", "named"),
    [
        (["deploys/backup.py"], ["@fake/nas"]),
        (["deploys/restore.py"], ["@fake/nas"]),
        (["deploys/backup.py", "deploy.py"], ["@fake/nas", "@fake/pi", "off.invalid"]),
    ],
)
def test_a_backup_needs_no_other_host_than_those_that_take_part(
    tmp_path: Path, deploys: list[str], named: list[str]
) -> None:
    inventory = tmp_path / f"{STEM}.py"
    inventory.write_text(answering_hosts() + OFF)
    settings = {"state_dir": tmp_path / "state", "backup_folder": "/mnt/usb", "restore": "latest"}
    data = [word for key, value in settings.items() for word in ("--data", f"registry_{key}={value}")]
    ran = pyinfra("-y", *data, str(inventory), *deploys)
    hosts = [re.findall(r"\[([^]]*)\]", line)[0] for line in printed.not_finished(ran.output)]
    assert sorted({*hosts}) == named
