"""State and registry host of different names, in whole runs: the host's certificate says whether they belong together.

tests/fleet/test_state_lost.py has the same on a real host.
"""

from __future__ import annotations

import datetime as dt
import subprocess
from base64 import b64encode
from pathlib import Path

import pytest

from tasks.accounts import passwords
from tasks.certificates import ca
from tasks.state import changes
from tasks.state.store import Store
from tests import printed
from tests.operations.runs import Ran, pyinfra
from tests.operations.test_command_line import answering_hosts
from tests.operations.test_custom_password import AT_ONCE

NAMES = ["registry.homelab.local", "192.0.2.10"]


def made(folder: Path, host: str) -> Store:
    """Make a state of the registry on a host, and return it."""
    store, now = Store(folder), dt.datetime.now(dt.UTC)
    authority = ca.make_authority(NAMES, 3650, now)
    store.authorities.write(authority)
    store.write_ca_bundle(authority.certificate_pem)
    store.write_leaf(ca.make_leaf(authority, NAMES, 397, now))
    store.write_record(host, {}, None)
    generated = {name: passwords.generate() for name in ("admin", "ci", "cluster")}
    for name, password in generated.items():
        store.write_password(name, password)
    store.write_hashes(passwords.hashes(generated, {}))
    store.write_changes(changes.add((), "", now))
    store.write_http_secret("ab" * 32)
    return store


def kept(store: Store) -> tuple[str, dict[str, str]]:
    """Return what clients know of a state: its CA and the passwords."""
    state = store.read()
    assert state.authority
    return state.authority.fingerprint, dict(state.passwords)


def ran(folder: Path, *arguments: str, installed: Store | None = None, deploy: str = "deploy.py") -> Ran:
    """Run with inventories/yours.py in a folder; its registry host has the certificate of a state."""
    leaf = installed.read().leaf if installed else None
    shown = b64encode((leaf.certificate_pem if leaf else "").encode()).decode()
    inventory = folder / "inventories/yours.py"
    inventory.parent.mkdir(exist_ok=True)
    inventory.write_text(answering_hosts().replace("'installed|'", f"'installed|{shown}'") + AT_ONCE)
    return pyinfra(*(arguments or ("-y",)), str(inventory), deploy)


def of_state(output: str) -> list[str]:
    """Return the steps on the registry host that change the state's CA, leaf, passwords or host."""
    return [step for step in printed.steps(output, "@fake/nas") if "/state/" in step or "certificate" in step]


@pytest.mark.parametrize("mode", ["-y", "--dry"])
def test_one_mv_makes_a_state_that_of_another_inventory(tmp_path: Path, mode: str) -> None:
    """The README's path: `make deploy` on one machine, then an inventory of one's own with that machine."""
    local, yours = made(tmp_path / "state/local", "@local"), tmp_path / "state/yours"
    stopped = ran(tmp_path, mode, installed=local)
    move = f"mv -T {tmp_path}/state/local {yours}"
    problem = f"this host has a registry certificate that {tmp_path}/state/local made, and not {yours}"
    assert printed.not_finished(stopped.output)[0] == f"[@fake/nas] {problem}; {move}, and run again"
    assert (stopped.exit_code, of_state(stopped.output)) == (1, [])
    before = kept(local)
    subprocess.run(["sh", "-ec", move], check=True)
    again = ran(tmp_path, installed=Store(yours))
    assert again.exit_code == 0, again.output
    assert [step for step in of_state(again.output) if "/state/" in step] == [
        f"note @fake/nas as the registry host: {yours} has @local",
        # A fake host has no images before a run.
        f"note /var/lib/homelab-registry as the folder of the images: it is new to {yours}",
    ]
    assert kept(Store(yours)) == before


def test_a_registry_that_moves_to_another_machine_keeps_ca_and_passwords(tmp_path: Path) -> None:
    store, inventory = made(tmp_path / "state/yours", "old-nas"), tmp_path / "inventories/yours.py"
    stopped, before = ran(tmp_path), kept(store)
    assert printed.not_finished(stopped.output)[0] == (
        f"[@fake/nas] {store.folder} is the state of the registry on old-nas, and this host does not have its "
        f"certificate; if the registry moves to @fake/nas, copy its images there and run make adopt "
        f"INVENTORY={inventory}, which keeps CA and passwords (see docs/by-task.md, "
        f'"The registry on another machine"); if not, correct the group registry in {inventory}'
    )
    assert (stopped.exit_code, of_state(stopped.output)) == (1, [])
    adopted = ran(tmp_path, deploy="deploys/adopt.py")
    assert adopted.exit_code == 0, adopted.output
    assert (
        f"[@fake/nas] CA and passwords of {store.folder} stay: what trusts them goes on to do so"
        in adopted.output
    )
    assert kept(store) == before


def test_a_new_ca_is_not_made_while_another_state_has_the_one_that_clients_trust(tmp_path: Path) -> None:
    local = made(tmp_path / "state/local", "@local")
    stopped = ran(tmp_path, installed=local, deploy="deploys/adopt.py")
    assert stopped.exit_code == 1
    assert f"the state of this registry is not lost: {local.folder} made its certificate" in stopped.output
    assert not Store(tmp_path / "state/yours").is_begun
    away = f"mv -T {local.folder} {local.folder}.former"
    assert f"; or, for a new CA all the same, move it away first: {away}" in stopped.output
    subprocess.run(["sh", "-ec", away], check=True)
    adopted = ran(tmp_path, installed=Store(Path(f"{local.folder}.former")), deploy="deploys/adopt.py")
    assert adopted.exit_code == 0, adopted.output
    assert (
        f"{tmp_path}/state/yours is new: machines outside of the inventory need its ca.crt" in adopted.output
    )
