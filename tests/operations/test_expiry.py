"""A CA that is about to end fails the timer's run, whose output nobody reads, and no other."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from tasks.accounts import passwords
from tasks.certificates import ca
from tasks.state.store import Store
from tests.operations.runs import pyinfra
from tests.operations.test_command_line import STEM, answering_hosts
from tests.operations.test_custom_password import AT_ONCE


@pytest.mark.parametrize("by_timer", [True, False])
def test_a_ca_that_is_about_to_end(tmp_path: Path, by_timer: bool) -> None:
    made, now = Store(tmp_path / "state"), dt.datetime.now(dt.UTC)
    made.authorities.write(
        ca.make_authority(["registry.homelab.local", "192.0.2.10"], 3650, now - dt.timedelta(days=3570))
    )
    for name in ("admin", "ci", "cluster"):
        made.write_password(name, passwords.generate())
    environment = "import os\nos.environ['HOMELAB_REGISTRY_PATIENCE'] = '1'\n" if by_timer else ""
    (tmp_path / f"{STEM}.py").write_text(environment + answering_hosts() + AT_ONCE)
    found = pyinfra(
        "-y", "--data", f"registry_state_dir={tmp_path}/state", str(tmp_path / f"{STEM}.py"), "deploy.py"
    )
    problem = "[@fake/nas] the certificate authority in use expires on "
    assert (problem in found.output.partition("Not finished:")[2]) is by_timer
    assert "(80 days left): run make rotate-ca" in found.output or "(79 days left): run" in found.output
