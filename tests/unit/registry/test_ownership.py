"""What host, state and container say of where the images were."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.registry import containers, ownership
from tasks.registry.plan import RegistryHost
from tasks.registry.storage import Record
from tasks.remote.files import Observed
from tasks.state.store import State

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
