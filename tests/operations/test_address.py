"""`registry_address` that the registry host does not have, in whole runs: a client has to reach it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.operations.runs import pyinfra
from tests.operations.test_command_line import STEM, answering_hosts

NOTE = (
    "[@fake/nas] registry_address = 192.0.2.99 is no address of this host, which has 192.0.2.10; correct it or take it "
    "out, unless something hands on to this host what comes to that address"
)
PROBLEM = (
    "[@fake/nas] no client was seen to reach registry_address = 192.0.2.99, which is no address of this host; take it "
    "out, or set it to the one that clients reach (192.0.2.10), and run again"
)


@pytest.mark.parametrize(
    ("address", "clients", "mode", "noted", "failed"),
    [
        ("192.0.2.99", "", "-y", True, True),
        ("192.0.2.99", "", "--dry", True, False),
        ("192.0.2.99", "docker_hosts = []\n", "-y", True, False),
        ("192.0.2.10", "", "-y", False, False),
    ],
)
def test_it_is_warned_of_and_a_client_has_to_reach_it(
    tmp_path: Path, address: str, clients: str, mode: str, noted: bool, failed: bool
) -> None:
    inventory = tmp_path / f"{STEM}.py"
    inventory.write_text(answering_hosts() + clients)
    data = ("--data", f"registry_state_dir={tmp_path}/state", "--data", f"registry_address={address}")
    ran = pyinfra(mode, *data, str(inventory), "deploy.py")
    assert (NOTE in ran.output) is noted, ran.output
    assert (PROBLEM in ran.output) is failed, ran.output
    assert ran.exit_code == int(failed)
