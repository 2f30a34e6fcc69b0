"""What happens to a controller in a life of years, in whole runs on hosts that are fake."""

from __future__ import annotations

import datetime as dt
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.accounts import passwords
from tasks.accounts.passwords import FormerPassword
from tasks.certificates import ca, rollover
from tasks.state.store import Store
from tests.operations.runs import Ran, pyinfra
from tests.operations.test_command_line import STEM, answering_hosts
from tests.operations.test_custom_password import AT_ONCE

NAMES = ["registry.homelab.local", "192.0.2.10"]
NOBODY = """
_others = dict(_answers)
_answers.clear()  # the first that fits is given
_answers.update({"/startedat": [f"now|{time.time()}", "end"], **_others})
"""
"""For an inventory: nobody uses a former password."""

FULL_DISK = """
import errno
import os
import tasks.state.files as _files

_left = [{before}]
_fsync = os.fsync

def _fail(handle):
    _left[0] -= 1
    if _left[0] < 0:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "state")
    _fsync(handle)

_files.os = type("os", (), {{**vars(os), "fsync": staticmethod(_fail)}})
"""
"""For an inventory: after some calls of fsync in the state's folder the disk is full; what was written before them is left."""


OFF = """
_off = {"rights=root": ["rights|none", f"time|{time.time()}", "engine|absent", "end"]}
docker_hosts = ["@fake/nas", ("@fake/pi", {"fake_responses": _off})]
"""
"""For an inventory: one host cannot be finished."""


def run(folder: Path, deploy: str = "deploy.py", code: str = "") -> Ran:
    (folder / f"{STEM}.py").write_text(answering_hosts() + NOBODY + AT_ONCE + code)
    return pyinfra("-y", "--data", f"registry_state_dir={folder}/state", str(folder / f"{STEM}.py"), deploy)


def made(folder: Path, days_ago: float, **former: FormerPassword) -> Store:
    """Make a state whose leaf and rollover were begun so many days ago."""
    store, then = Store(folder / "state"), dt.datetime.now(dt.UTC) - dt.timedelta(days=days_ago)
    old = ca.make_authority(NAMES, 3650, then - dt.timedelta(days=100))
    store.authorities.write(old)
    store.authorities.write_successor(rollover.make_successor(old, NAMES, 3650, then), old)
    store.write_leaf(ca.make_leaf(old, NAMES, 397, then))
    generated = {name: passwords.generate() for name in ("admin", "ci", "cluster")}
    for name, password in generated.items():
        store.write_password(name, password)
    store.write_hashes(passwords.hashes(generated, {}))
    store.write_former(former)
    return store


def former(days_ago: float, *hosts: str) -> FormerPassword:
    hashed = passwords.hashes({"ci": passwords.generate()}, {})["ci"]
    return FormerPassword(hashed, dt.datetime.now(dt.UTC) - dt.timedelta(days=days_ago), hosts)


@pytest.mark.parametrize("months", [5, 14])
def test_a_controller_that_slept_is_up_to_date_after_one_run(tmp_path: Path, months: int) -> None:
    """It fell asleep with a rollover begun, a former password, and 9 months of the certificate left."""
    days = months * 30.4 + 120
    store = made(tmp_path, days, ci=former(days))
    found = run(tmp_path)
    assert "] put the new certificate authority into use: every host trusts it" in found.output
    assert "] write " in found.output
    state, now = store.read(), dt.datetime.now(dt.UTC)
    assert state.former == {}
    assert state.successor
    assert state.successor.issuing_since == now.date()
    assert state.leaf
    assert ca.issued_by(state.leaf.certificate, state.successor.ca.certificate)
    assert state.leaf.certificate.not_valid_after_utc - now > dt.timedelta(days=390)
    assert "Not finished" not in found.output
    assert found.exit_code == 0


def test_a_host_that_left_the_inventory_is_not_waited_for(tmp_path: Path) -> None:
    """It had the former password, and was to get the new CA."""
    store = made(tmp_path, 2, ci=former(2, "@fake/gone", "@fake/pi"))
    found = run(tmp_path)
    assert found.exit_code == 0
    state = store.read()
    assert state.former == {}
    assert state.successor
    assert state.successor.issuing_since


@pytest.mark.parametrize("since_overlap", [False, True])
def test_a_rollover_waits_for_a_host_that_is_off_for_five_weeks(tmp_path: Path, since_overlap: bool) -> None:
    """It was off before it had the new CA, or before the old one was taken from it; 30 days are the overlap."""
    store = made(tmp_path, 35)
    old, successor = store.read().authority, store.read().successor
    assert old
    assert successor
    if since_overlap:
        day = (dt.datetime.now(dt.UTC) - dt.timedelta(days=35)).date()
        store.authorities.write_rollover(replace(successor, issuing_since=day), old)
    what = "the old certificate authority is not deleted" if since_overlap else "is not put into use"
    found = run(tmp_path, code=OFF)
    assert f"{what} before one run has finished every host, and waits for @fake/pi" in found.output
    state = store.read()
    assert state.authority
    assert state.authority.fingerprint == old.fingerprint
    assert state.successor
    assert state.leaf
    issuer = successor.ca if since_overlap else old
    assert ca.issued_by(state.leaf.certificate, issuer.certificate)
    store.write_record("@fake/nas", {}, None)  # the fake host has no images, so none may be missed
    assert run(tmp_path).exit_code == 0
    state = store.read()
    assert state.authority
    assert (state.authority.fingerprint == successor.ca.fingerprint) is since_overlap
    assert (state.successor is None) is since_overlap
    assert state.leaf
    assert ca.issued_by(state.leaf.certificate, successor.ca.certificate)


@pytest.mark.parametrize("deploy", ["rotate_credentials", "rotate_ca", "rotate_certificate"])
def test_a_full_disk_at_any_step_loses_nothing_and_the_next_run_finishes(
    tmp_path: Path, soak: bool, deploy: str
) -> None:
    """One line says so. Every password, present or former, that a host may have stays good or is replaced everywhere."""
    first = made(tmp_path, 1) if deploy != "rotate_ca" else _settled(tmp_path)
    shutil.copytree(first.folder, tmp_path / "before")
    for before in range(40) if soak else (3,):
        shutil.rmtree(first.folder)
        shutil.copytree(tmp_path / "before", first.folder)
        present = first.read()
        full = run(tmp_path, f"deploys/{deploy}.py", FULL_DISK.format(before=before))
        assert "Traceback" not in full.output
        if full.exit_code == 0:
            assert soak  # all steps were seen
            break
        said = r"could not .*No space left on device.*; free space there \(df -h, df -i\) and run again"
        assert re.search(said, full.output), full.output
        left = first.read()
        assert set(left.passwords) == set(present.passwords)
        for name, password in left.passwords.items():
            kept = {left.hashes.get(name), left.former[name].hashed if name in left.former else None}
            # The step that says so is taken once every host has the present password.
            replaced = re.search(rf"the former password of .*\b{name}\b.* is no longer needed", full.output)
            assert password == present.passwords[name] or present.hashes[name] in kept or replaced
        assert (first.folder / ".gitignore").read_text() == "*\n"
        first.write_record("@fake/nas", {}, None)  # the fake host has no images, so none may be missed
        after = run(tmp_path)
        assert after.exit_code == 0, f"{before}: {after.output}"
        assert "Not finished" not in after.output
        assert first.read().former == {}
    else:
        assert not soak, "the disk was full in each run"


def _settled(folder: Path) -> Store:
    """Return a state without a rollover."""
    store = made(folder, 1)
    state = store.read()
    assert state.authority
    assert state.successor
    store.authorities.remove_successor(state.successor.ca)
    return store
