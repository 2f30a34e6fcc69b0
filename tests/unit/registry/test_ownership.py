"""Whether state and registry host belong together, and what both say of where the images were."""

from __future__ import annotations

import datetime as dt
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tasks.certificates import ca
from tasks.registry import containers, leaf, ownership
from tasks.registry.desired import FOLDER
from tasks.registry.ownership import Claimant
from tasks.registry.plan import RegistryHost
from tasks.registry.storage import Record
from tasks.remote.files import Observed
from tasks.remote.steps import Conflict
from tasks.state.store import State, Store

ID = "ab" * 16
OWN, KNOWN = Record("/mnt/tank/registry", ID, "/mnt/tank"), Record("/srv/images", "cd" * 16)
STATE = State(storage=(KNOWN.path, KNOWN.id or ""))


def report(source: str, label: str = containers.LABEL) -> dict[str, Any]:
    mounts = [{"Source": "/etc", "Destination": "/x"}, {"Source": source, "Destination": containers.STORAGE}]
    return {containers.REGISTRY: {"Config": {"Labels": {label: "0"}}, "Mounts": mounts}}


def folder(owner: int) -> Observed:
    return Observed("directory", "700", owner, owner, 0.0, 1, None)


@pytest.mark.parametrize(
    ("found", "state", "records"),
    [
        (RegistryHost(), State(), []),
        (RegistryHost(storage=OWN), STATE, [OWN, KNOWN]),
        (RegistryHost(), STATE, [KNOWN]),
        (RegistryHost(containers=report("/data"), storage=OWN), State(), [OWN]),
        (RegistryHost(containers=report("/data")), State(), [Record("/data")]),
        (RegistryHost(containers=report("/data"), paths={"/data": None}), State(), [Record("/data")]),
        (RegistryHost(containers=report("/data"), paths={"/data": folder(0)}), State(), [Record("/data")]),
        (RegistryHost(containers=report("/data"), paths={"/data": folder(60705)}), State(), []),
        (RegistryHost(containers=report("/data"), paths={"/data": folder(60706)}), State(), []),
        (RegistryHost(containers=report("/data", "com.docker.compose.project")), State(), []),
    ],
)
def test_what_is_known_of_where_the_images_were(
    found: RegistryHost, state: State, records: list[Record]
) -> None:
    assert ownership.storage_records(state, found) == records


NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
NAMES = ["registry.homelab.local", "192.168.1.10"]
CA, OTHER_CA = (ca.make_authority(NAMES, 3650, NOW) for _ in range(2))
LEAF, FORMER = (ca.make_leaf(CA, NAMES, 397, NOW) for _ in range(2))
OTHERS = ca.make_leaf(OTHER_CA, NAMES, 397, NOW)
INTACT = State(authority=CA, leaf=LEAF, registry_host="@local")
YOURS = "inventories/yours.py"
LOST = (
    "put the right {0}/state/yours back from your backup; or, if it is lost, see docs/by-task.md, "
    '"The state is lost", for how to start again with make adopt'
)


def having(leaf: ca.KeyPair | None, served: ca.KeyPair | None = None) -> RegistryHost:
    installed, shown = (each.certificate_pem if each else "" for each in (leaf, served or leaf))
    return RegistryHost(installed=installed, served=shown)


def claim(folder: Path, state: State, host: str = "nas") -> Claimant:
    return Claimant(YOURS, host, folder / "state/yours", state)


@pytest.mark.parametrize(
    ("state", "host", "found"),
    [
        (State(), "nas", having(None)),
        (INTACT, "@local", having(LEAF)),
        (INTACT, "@local", having(None)),  # the host was set up again
        (INTACT, "@local", having(FORMER)),
        (INTACT, "nas", having(LEAF)),  # the same host under another name
        (INTACT, "nas", having(LEAF, served=FORMER)),
        (State(authority=CA), "nas", having(FORMER)),
        (State(), "nas", RegistryHost(served="a certificate of another program")),
    ],
)
def test_a_host_that_belongs_to_the_state(
    tmp_path: Path, state: State, host: str, found: RegistryHost
) -> None:
    ownership.check(claim(tmp_path, state, host), found)


@pytest.mark.parametrize(
    ("state", "found", "problem", "remedy"),
    [
        *(
            (
                INTACT, found,
                "{0}/state/yours is the state of the registry on @local, and this host does not have its certificate",
                "if the registry moves to nas, copy its images there and run make adopt, which keeps CA and passwords (see "
                'docs/by-task.md, "The registry on another machine"); if not, correct the group '
                f"registry in {YOURS}",
            )
            for found in (having(None), having(FORMER))
        ),
        (State(), having(LEAF), "this host has a registry certificate that {0}/state/yours knows nothing of", LOST),
        (State(), having(None, served=LEAF),
         "this host serves a registry certificate that {0}/state/yours knows nothing of", LOST),
        (State(), RegistryHost(paths={f"{FOLDER}/{leaf.LINK}": folder(0)}),
         "this host has a registry certificate, but {0}/state/yours is empty", LOST),
        (INTACT, having(OTHERS),
         "this host has a registry certificate that {0}/state/yours did not make (it is the state of the registry "
         "on @local)", LOST),
        (State(authority=CA, registry_host="nas"), having(OTHERS),
         "this host has a registry certificate that {0}/state/yours did not make", LOST),
    ],
)  # fmt: skip
def test_a_host_that_does_not_belong_to_the_state(
    tmp_path: Path, state: State, found: RegistryHost, problem: str, remedy: str
) -> None:
    with pytest.raises(Conflict) as stop:
        ownership.check(claim(tmp_path, state), found)
    assert (stop.value.problem, stop.value.remedy) == (problem.format(tmp_path), remedy.format(tmp_path))


@pytest.mark.parametrize("place", ["state", "project/state"])
@pytest.mark.parametrize("yours", [None, "", "accounts"])
def test_the_state_that_made_the_certificate_is_named_with_the_command_that_moves_it(
    tmp_path: Path, place: str, yours: str | None
) -> None:
    """The other state's name is not compared, its keys are. The line is pasted."""
    maker = Store(tmp_path / place / "local")
    maker.authorities.write(OTHER_CA)
    Store(tmp_path / "state/a").authorities.write(CA)
    Store(tmp_path / "state/local.damaged").authorities.write(OTHER_CA)
    folder = tmp_path / "state/yours"
    if yours is not None:
        (folder / yours).mkdir(parents=True)
    claimant = Claimant(YOURS, "nas", folder, State(), (tmp_path / "project/state", tmp_path / "nowhere"))
    with pytest.raises(Conflict) as stop:
        ownership.check(claimant, having(OTHERS))
    assert stop.value.problem == (
        f"this host has a registry certificate that {maker.folder} made, and not {folder}"
    )
    kept = f"mv -T {folder} {folder}.before && " if yours else ""
    assert stop.value.remedy == f"{kept}mv -T {maker.folder} {folder}, and run again"
    subprocess.run(stop.value.remedy.removesuffix(", and run again"), shell=True, check=True)  # noqa: S602
    moved = Store(folder).read().authority
    assert moved
    assert moved.fingerprint == OTHER_CA.fingerprint


def test_an_inventory_of_that_state_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Store(tmp_path / "state/local").authorities.write(CA)
    (tmp_path / "inventories").mkdir()
    (tmp_path / "inventories/local.py").touch()
    with pytest.raises(Conflict) as stop:
        ownership.check(claim(tmp_path, State()), having(LEAF))
    assert stop.value.remedy == (
        "make deploy INVENTORY=inventories/local.py goes on with it; or, if inventories/yours.py takes its place: "
        f"mv -T {tmp_path}/state/local {tmp_path}/state/yours, and run again"
    )


@pytest.mark.parametrize(
    ("state", "found", "outdated", "kept"),
    [
        (INTACT, having(None), False, "CA and passwords of {0} stay: what trusts them goes on to do so"),
        (INTACT, having(FORMER), False, "CA and passwords of {0} stay: what trusts them goes on to do so"),
        (INTACT, having(FORMER), True, "{0} is an older copy: its CA stays, and every account gets a new password"),
        (INTACT, having(OTHERS), False, "CA and passwords of {0} stay, and this host had a certificate of another CA: "
         "machines outside of the inventory that trust that one need {0}/ca.crt"),
        (State(), having(OTHERS), False, "{0} is new: machines outside of the inventory need its ca.crt, and everyone "
         "has to log in again"),
    ],
)  # fmt: skip
def test_who_adopts_is_told_what_stays(
    tmp_path: Path, state: State, found: RegistryHost, outdated: bool, kept: str
) -> None:
    claimant = claim(tmp_path, state)
    assert ownership.adopt(claimant, found, outdated=outdated) == kept.format(claimant.folder)


def test_no_ca_is_replaced_whose_state_is_there_under_another_name(tmp_path: Path) -> None:
    local = tmp_path / "state/local"
    Store(local).authorities.write(CA)
    with pytest.raises(Conflict) as stop:
        ownership.adopt(claim(tmp_path, State()), having(LEAF), outdated=False)
    assert stop.value.problem == f"the state of this registry is not lost: {local} made its certificate"
    assert stop.value.remedy == (
        f"mv -T {local} {tmp_path}/state/yours, and run again; or, for a new CA all the same, move it away first: "
        f"mv -T {local} {local}.former"
    )
    local.rename(f"{local}.former")
    assert "is new" in ownership.adopt(claim(tmp_path, State()), having(LEAF), outdated=False)
