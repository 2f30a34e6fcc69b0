"""What a backup needs of the hosts, and what keeps it from being made."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from tasks.backup import plan
from tasks.backup.facts import BackupHost, Shelf, SourceHost
from tasks.backup.generations import Backup
from tasks.registry.address import Addresses
from tasks.registry.storage import Mount, Place, Record
from tasks.remote.steps import Conflict
from tasks.settings.load import Settings

ID, OTHER = "ab" * 16, "cd" * 16
PATH = "/var/lib/homelab-registry"
KEY = "ssh-ed25519 AAAA homelab-registry-backup"
PLACE = Place(Mount("/", "/dev/sda1", "ext4"), exists=True, mark=ID, repositories=3)
SOURCE = SourceHost(
    missing=frozenset(), deployed=True, key=KEY, device=1, free=1, brought=0, place=PLACE, record=Record(PATH, ID, "/"),
    owner="60706:60706", shelf=None, program=False, running=True,
)  # fmt: skip
PI = BackupHost(
    missing=frozenset(), has_user=False, authorized="", keys=("ssh-ed25519 BBBB",), ports=(22,),
    addresses=Addresses(("eth0", "192.0.2.7"), {"192.0.2.7": "eth0"}), shelf=Shelf(1, False),
)  # fmt: skip
NOW = dt.datetime(2026, 3, 5, 3, tzinfo=dt.UTC)
MADE = Backup("2026-03-01-030000", ID, 1, 1, False)
SETTINGS = Settings(registry_backup_folder="/mnt/usb", registry_backup_program="/usr/local/bin/mine")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"deployed": False}, "there is no registry on this host yet"),
        ({"place": Place(PLACE.mount, exists=True)}, f"the folder of the images, {PATH}, is empty"),
    ],
)
def test_what_keeps_a_backup_from_being_made(change: dict[str, object], problem: str) -> None:
    plan.check_source(SOURCE, SETTINGS, "make deploy")
    with pytest.raises(Conflict, match=problem):
        plan.check_source(replace(SOURCE, **change), SETTINGS, "make deploy")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "change", "problem"),
    [
        (
            "/usr/local/bin/mine",
            {"program": False},
            "registry_backup_program /usr/local/bin/mine is no program",
        ),
        (
            "/mnt/usb",
            {"shelf": Shelf(1, False)},
            "registry_backup_folder /mnt/usb is on the file system of the",
        ),
    ],
)
def test_what_keeps_one_target_from_its_backup(target: str, change: dict[str, object], problem: str) -> None:
    good = replace(SOURCE, shelf=Shelf(2, False), program=True)
    bad = replace(good, **change)  # type: ignore[arg-type]
    for each in ("/usr/local/bin/mine", "/mnt/usb"):
        plan.check_own(good, each, SETTINGS)
        if each != target:
            plan.check_own(bad, each, SETTINGS)
    with pytest.raises(Conflict, match=problem):
        plan.check_own(bad, target, SETTINGS)


@pytest.mark.parametrize(
    ("shelf", "used", "problem"),
    [
        (Shelf(1, False), False, None),
        (Shelf(1, False), True, "/b had backups, and has none now"),
        (Shelf(1, True), True, None),
        (Shelf(1, False, (MADE,)), True, None),
        (Shelf(1, True, (replace(MADE, storage=OTHER),)), True, "/b has backups of another registry"),
        (Shelf(1, True, (MADE, replace(MADE, name="2026-03-05-040000"))), True, None),
        (Shelf(1, True, (replace(MADE, name="2026-03-05-040001"), MADE)), True, "this machine's clock says"),
    ],
)
def test_whose_backups_a_folder_has(shelf: Shelf, used: bool, problem: str | None) -> None:
    if problem is None:
        plan.check_shelf("/b", shelf, ID, NOW, used=used)
        return
    with pytest.raises(Conflict, match=problem):
        plan.check_shelf("/b", shelf, ID, NOW, used=used)


@pytest.mark.parametrize(
    "name", ["1970-01-01-000012", "2026-03-05-005959", "2026-03-05-050001", "2099-01-01-000000"]
)
def test_a_snapshot_of_another_time_gives_a_backup_no_name(name: str) -> None:
    assert plan.check_name("2026-03-05-025959", NOW) == "2026-03-05-025959"
    with pytest.raises(ValueError, match="this machine's clock says 2026-03-05-030000"):
        plan.check_name(name, NOW)


def test_a_host_gets_a_user_and_a_key_that_may_only_write_to_what_was_begun() -> None:
    texts = [step.text for step in plan.prepare_host(PI, "/b", KEY)]
    assert [text.partition(":")[0] for text in texts] == [
        "add the user homelab-registry-backup",
        "let the registry host write to /b/partial",
    ]
    *_, admit = plan.prepare_host(PI, "/b", KEY)
    assert admit.stdin == f'restrict,command="rrsync -wo /b/partial" {KEY}\n'
    ready = replace(PI, has_user=True, authorized=admit.stdin or "", shelf=Shelf(1, True, (MADE,)))
    assert plan.prepare_host(ready, "/b", KEY) == []


def test_keys_of_other_registries_stay() -> None:
    others = 'restrict,command="rrsync -wo /bb" ssh-ed25519 CCCC\nrestrict,command="rrsync -wo /a/b" ssh-ed25519 DDDD\n'
    before = f'{others}restrict,command="rrsync -ro /b/2026-03-01-030000" ssh-ed25519 EEEE\n'
    (step,) = plan.admit(before, "/b", "-wo /b", KEY)
    assert step.stdin == f'{others}restrict,command="rrsync -wo /b" {KEY}\n'


def test_hosts_are_known_by_the_keys_that_were_read_there() -> None:
    file = plan.known_hosts([("192.0.2.7", 22, PI), ("2001:db8::7", 2222, PI)])
    assert file.content == "192.0.2.7 ssh-ed25519 BBBB\n[2001:db8::7]:2222 ssh-ed25519 BBBB\n"


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (replace(PI, ports=()), "there is no SSH server here"),
        (replace(PI, keys=()), "there is no SSH server here"),
        (replace(PI, addresses=Addresses()), "its address is unknown"),
    ],
)
def test_a_host_that_cannot_be_reached(found: BackupHost, problem: str) -> None:
    assert plan.endpoint(PI) == ("192.0.2.7", 22)
    with pytest.raises(Conflict, match=problem):
        plan.endpoint(found)


def test_programs_are_installed_where_debian_has_them() -> None:
    assert plan.install([], "fedora") == []
    (step,) = plan.install(["rrsync", "rsync"], "debian")
    assert "install python3 rsync" in step.script
    with pytest.raises(Conflict, match="rsync is missing here"):
        plan.install(["rsync"], "fedora")
