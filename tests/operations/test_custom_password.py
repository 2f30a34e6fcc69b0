"""A run reports at its end that machines pull with a custom password, and the remedy that it names helps."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from tasks.accounts import passwords as accounts
from tasks.certificates import ca
from tasks.state.store import Store
from tests.operations.runs import Ran, pyinfra
from tests.operations.test_command_line import SECRET, STEM, answering_hosts

AT_ONCE = """
import tasks.rotations.former_passwords as _former_passwords

_former_passwords.QUIET = 0.0
"""
"""For an inventory: the run does not wait until requests with a former password have ended, as on fake hosts none began."""


def ran(folder: Path, *arguments: str, deploy: str = "deploy.py") -> Ran:
    """Run on hosts that answer as if they had nothing of ours; the run ends at the first that it cannot make there."""
    (folder / f"{STEM}.py").write_text(answering_hosts() + AT_ONCE)
    return pyinfra(
        "-y", *arguments, "--data", f"registry_state_dir={folder}/state", str(folder / f"{STEM}.py"), deploy
    )


def store(folder: Path, **passwords: str) -> Store:
    """Make a state with a CA and these passwords, each with its hash, and return it."""
    made, now = Store(folder / "state"), dt.datetime.now(dt.UTC)
    made.authorities.write(ca.make_authority(["registry.homelab.local", "192.0.2.10"], 3650, now))
    made.write_record("@fake/nas", {}, None)
    for name, password in passwords.items():
        made.write_password(name, password)
    made.write_hashes(accounts.hashes(passwords, {}))
    return made


def warnings(ran: Ran) -> list[str]:
    return [line.strip() for line in ran.output.splitlines() if "custom password" in line]


def with_custom_password(folder: Path) -> Store:
    """Make a state in which the account that machines pull with has a custom password."""
    return store(folder, admin=accounts.generate(), ci=accounts.generate(), cluster=SECRET)


def test_the_account_that_machines_pull_with_is_named(tmp_path: Path) -> None:
    with_custom_password(tmp_path)
    found = ran(tmp_path)
    assert warnings(found) == [
        "The account cluster has a custom password: each of its requests costs the registry host about 0.3 s of "
        f"processor time; make rotate-passwords ACCOUNT=cluster INVENTORY={tmp_path}/{STEM}.py gives it a generated one"
    ]
    assert SECRET not in found.output


def test_the_remedy_that_is_named_works(tmp_path: Path) -> None:
    made = with_custom_password(tmp_path)
    others = made.password_path("ci").read_text()
    again = ran(tmp_path, "--data", "registry_rotate_account=cluster", deploy="deploys/rotate_credentials.py")
    assert warnings(again) == []
    assert made.password_path("ci").read_text() == others
    assert accounts.is_generated(made.password_path("cluster").read_text().strip())
    assert sorted(accounts.read_htpasswd((made.folder / "htpasswd").read_text())) == [
        "admin",
        "ci",
        "cluster",
    ]
