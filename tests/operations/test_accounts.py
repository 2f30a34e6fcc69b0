"""Accounts that are removed and added again, and an older copy of the state, in whole runs."""

from __future__ import annotations

from pathlib import Path

from tasks.accounts import passwords
from tasks.state import changes
from tests.operations.runs import Ran, pyinfra
from tests.operations.test_command_line import SECRET, STEM, answering_hosts
from tests.operations.test_custom_password import AT_ONCE, store
from tests.unit.state.test_changes import NOW


def ran(folder: Path, change: str = "", deploy: str = "deploy.py", **settings: object) -> Ran:
    """Run on hosts without anything of ours but, if given, the change that the registry's htpasswd names."""
    hosts = answering_hosts().replace("'listener|'", f"'change|{change}', 'listener|'")
    (folder / f"{STEM}.py").write_text(hosts + AT_ONCE)
    (folder / "group_data").mkdir(exist_ok=True)
    values = {"registry_state_dir": f"{folder}/state", **settings}
    (folder / f"group_data/{STEM}.py").write_text(
        "".join(f"{key} = {value!r}\n" for key, value in values.items())
    )
    return pyinfra("-y", str(folder / f"{STEM}.py"), deploy)


def test_a_removed_account_takes_its_password_with_it(tmp_path: Path) -> None:
    """A generated one is removed; what a person chose, or put there for later, stays and is not used unasked."""
    made = store(
        tmp_path,
        admin=passwords.generate(),
        ci=passwords.generate(),
        cluster=passwords.generate(),
        dev=SECRET,
    )
    made.write_password("later", "chosen-for-later")
    old = made.read().passwords
    found = ran(tmp_path, registry_accounts={"admin": "admin", "cluster": "pull"})
    folder = made.folder / "accounts"
    assert f"] remove {folder}/ci.password: the account is gone" in found.output
    assert f"] rename {folder}/dev.password to dev.removed-" in found.output
    assert SECRET not in found.output
    state = made.read()
    assert set(state.passwords) == {"admin", "cluster", "later"}
    assert set(state.hashes) == {"admin", "cluster"}
    assert [path.read_text() for path in folder.glob("dev.removed-*")] == [f"{SECRET}\n"]
    made.write_record("@fake/nas", {}, None)  # the fake host has no images, so none may be missed
    ran(tmp_path, registry_accounts=dict.fromkeys(("admin", "ci", "cluster", "dev", "later"), "pull"))
    again = made.read().passwords
    assert again["ci"] not in {old["ci"], ""}
    assert passwords.is_generated(again["dev"])
    assert again["later"] == "chosen-for-later"


def test_an_older_copy_of_the_state_is_refused_and_adopted_with_new_passwords(tmp_path: Path) -> None:
    made = store(tmp_path, **{name: passwords.generate() for name in ("admin", "ci", "cluster")})
    first = changes.add((), "", NOW)
    made.write_changes(first)
    newer = str(changes.add(first, "", NOW)[-1])
    old = made.read().passwords
    found = ran(tmp_path, newer)
    assert "is an older copy: the registry's passwords are of change number 2" in found.output
    assert "  + [" not in found.output
    found = ran(tmp_path, newer, "deploys/adopt.py")
    assert (
        "] generate a password for ci: the one in this older copy of the state may have been revoked"
        in found.output
    )
    state = made.read()
    assert not set(state.passwords.values()) & set(old.values())
    assert [each.number for each in state.changes] == [1, 3]
    assert state.former == {}
