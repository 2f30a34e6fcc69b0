"""Runs whose state is from a time when the controller's clock was ahead, and is right now."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

from tasks.accounts import passwords
from tasks.accounts.passwords import FormerPassword
from tasks.certificates import ca, rollover
from tasks.state.store import Store
from tests.operations.runs import Ran, pyinfra
from tests.operations.test_command_line import STEM, answering_hosts
from tests.operations.test_custom_password import ran, store

NOW = dt.datetime.now(dt.UTC)
AHEAD = dt.timedelta(days=200)
NAMES = ["registry.homelab.local", "192.0.2.10"]
TODAY = ("--data", f"registry_today={NOW:%Y-%m-%d}")


def problems(found: Ran) -> list[str]:
    _, _, after = found.output.partition("Not finished:")
    return [line.strip() for line in after.splitlines() if line.strip().startswith("[@fake/nas]")]


def filled(folder: Path) -> Store:
    return store(folder, **{name: passwords.generate() for name in ("admin", "ci", "cluster")})


def test_a_certificate_from_the_future_stops_the_run_until_a_person_says_that_the_clock_is_right(
    tmp_path: Path,
) -> None:
    made = filled(tmp_path)
    authority = made.read().authority
    assert authority
    made.write_leaf(ca.make_leaf(authority, NAMES, 397, NOW + AHEAD))
    before = (made.folder / "leaf.pem").read_text()
    stopped = ran(tmp_path)
    (problem,) = problems(stopped)
    assert f"/leaf.pem is from {NOW + AHEAD:%Y-%m-%d %H:%M} UTC" in problem
    assert f"run make deploy DATA=registry_today={NOW:%Y-%m-%d} INVENTORY={tmp_path}/" in problem
    assert "  + [" not in stopped.output
    assert (made.folder / "leaf.pem").read_text() == before
    repaired = ran(tmp_path, *TODAY)
    assert (
        "] make a certificate for registry.homelab.local, 192.0.2.10: it is not valid before"
        in repaired.output
    )
    leaf = made.read().leaf
    assert leaf
    assert leaf.certificate.not_valid_before_utc <= dt.datetime.now(dt.UTC)


def test_a_ca_from_the_future_is_replaced_at_once_when_asked_for(tmp_path: Path) -> None:
    made = Store(tmp_path / "state")
    future = ca.make_authority(NAMES, 3650, NOW + AHEAD)
    made.authorities.write(future)
    made.write_leaf(ca.make_leaf(future, NAMES, 397, NOW + AHEAD))
    (problem,) = problems(ran(tmp_path, *TODAY))
    assert "the certificate authority is not valid before" in problem
    assert f"run make rotate-ca DATA=registry_today={NOW:%Y-%m-%d} INVENTORY={tmp_path}/" in problem
    found = ran(tmp_path, *TODAY, deploy="deploys/rotate_ca.py")
    assert "] make a new certificate authority" in found.output
    state = made.read()
    assert state.leaf
    assert state.authority
    assert state.authority.fingerprint != future.fingerprint
    assert ca.issued_by(state.leaf.certificate, state.authority.certificate)


def test_former_passwords_and_a_rollover_from_the_future_count_from_now(tmp_path: Path) -> None:
    made = filled(tmp_path)
    state = made.read()
    assert state.authority
    successor = rollover.make_successor(state.authority, NAMES, 3650, NOW)
    made.authorities.write_successor(replace(successor, issuing_since=(NOW + AHEAD).date()), state.authority)
    made.write_former(
        {"ci": FormerPassword(passwords.hashes({"ci": passwords.generate()}, {})["ci"], NOW + AHEAD)}
    )
    found = ran(tmp_path, *TODAY)
    assert "] set the times in" in found.output
    assert "] set the day of the CA rollover to today" in found.output
    after = made.read()
    assert after.former["ci"].since <= dt.datetime.now(dt.UTC)
    assert after.successor
    assert after.successor.issuing_since == NOW.date()


def test_a_controller_whose_clock_is_not_that_of_any_other_host_makes_nothing(tmp_path: Path) -> None:
    """The registry is on the controller itself, so that its own host agrees with it."""
    inventory = tmp_path / f"{STEM}.py"
    hosts = answering_hosts().replace("time.time()", "time.time() - 17280000")
    inventory.write_text(
        hosts.replace(
            'registry = [("@fake/nas", {"fake_responses": _answers})]', 'registry = ["@local"]'
        ).replace('docker_hosts = ["@fake/nas", ', "docker_hosts = [")
    )
    found = pyinfra("--dry", "--data", f"registry_state_dir={tmp_path}/state", str(inventory), "deploy.py")
    assert (
        "[@local] this machine's clock differs by an hour or more from that of every other host (@fake/pi); "
        "set the clocks (timedatectl set-ntp true) and run again"
    ) in found.output
    assert "] make a certificate authority" not in found.output
