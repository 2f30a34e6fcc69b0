"""What is put back of a backup, and what is left out."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from tasks.backup import check, selection
from tasks.backup.facts import Shelf
from tasks.backup.generations import Backup
from tasks.backup.selection import Origin
from tasks.remote.steps import Conflict
from tests.stored_folder import StoredFolder, digest
from tests.unit.storage.reading import read

BASE, OWN = b"a layer that both have", b"a layer of its own"


@pytest.fixture
def folder(tmp_path: Path) -> StoredFolder:
    made = StoredFolder(tmp_path)
    made.image("apps/web", [BASE, OWN], "1")
    made.index("apps/multi", [made.image("apps/multi", [BASE])], "1")
    return made


def shelf(*names: str) -> Shelf:
    return Shelf(1, True, tuple(Backup(name, "ab", 1, 1, False) for name in names))


SHELVES = {
    None: ("/mnt/usb", shelf("2026-03-01-030000")),
    "pi": ("/backups", shelf("2026-03-01-030000", "2026-03-02-030000")),
    "@docker/nas": ("/own", shelf("2026-03-03-030000")),
}


@pytest.mark.parametrize(
    ("wanted", "origin"),
    [
        ("latest", Origin("@docker/nas", "/own/2026-03-03-030000")),
        ("pi:latest", Origin("pi", "/backups/2026-03-02-030000")),
        ("@docker/nas:latest", Origin("@docker/nas", "/own/2026-03-03-030000")),
        ("2026-03-02-030000", Origin("pi", "/backups/2026-03-02-030000")),
        ("pi:2026-03-01-030000", Origin("pi", "/backups/2026-03-01-030000")),
        ("/tmp/restored", Origin(None, "/tmp/restored")),
    ],
)
def test_which_backup_is_meant(wanted: str, origin: Origin) -> None:
    assert selection.choose(wanted, SHELVES) == origin


@pytest.mark.parametrize(
    ("wanted", "remedy"),
    [
        ("nas:latest", "name a folder of the registry host"),
        ("pi:2026-03-03-030000", "there are pi:2026-03-02-030000, pi:2026-03-01-030000"),
        ("2026-03-09-030000", "there are @docker/nas:2026-03-03-030000, pi:2026-03-02-030000"),
    ],
)
def test_a_backup_that_is_not_there_is_answered_by_those_that_are(wanted: str, remedy: str) -> None:
    with pytest.raises(Conflict) as stop:
        selection.choose(wanted, SHELVES)
    assert stop.value.remedy.startswith(remedy)


def test_all_is_put_back_and_what_points_comes_last(folder: StoredFolder) -> None:
    chosen = selection.select(read(folder.path), None)
    files = {str(path.relative_to(folder.top)) for path in folder.top.rglob("*") if path.is_file()}
    assert {*chosen.blob_paths, *chosen.links, *chosen.tag_links} == files
    assert chosen.tag_links[-2:] == [
        f"repositories/apps/{name}/_manifests/tags/1/current/link" for name in ("multi", "web")
    ]
    assert chosen.broken == ()


def test_of_one_repository_only_what_it_needs(folder: StoredFolder) -> None:
    chosen = selection.select(read(folder.path), "apps/multi")
    assert {tag.repository for tag in chosen.tags} == {"apps/multi"}
    assert all(link.startswith("repositories/apps/multi/_") for link in chosen.links)
    assert digest(BASE) in chosen.blobs
    assert digest(OWN) not in chosen.blobs


def test_a_repository_that_is_not_there(folder: StoredFolder) -> None:
    with pytest.raises(Conflict, match=r"no repository apps in the backup; there are apps/multi, apps/web"):
        selection.select(read(folder.path), "apps")


def test_a_tag_that_does_not_pull_is_left_out(folder: StoredFolder) -> None:
    folder.data(digest(OWN)).unlink()
    chosen = selection.select(read(folder.path), None)
    assert [tag.repository for tag in chosen.tags] == ["apps/multi"]
    assert [tag.repository for tag in chosen.broken] == ["apps/web"]


@pytest.mark.parametrize(("layer", "left"), [(OWN, ["apps/multi"]), (BASE, [])])
def test_a_damaged_layer_takes_its_tags_with_it(folder: StoredFolder, layer: bytes, left: list[str]) -> None:
    stored = read(folder.path)
    chosen = selection.without(selection.select(stored, None), stored, [digest(layer)])
    assert [tag.repository for tag in chosen.tags] == left
    assert digest(layer) not in chosen.blobs


def test_what_is_needed_is_what_the_registry_has_not(folder: StoredFolder, tmp_path: Path) -> None:
    stored = read(folder.path)
    chosen = selection.select(stored, None)
    assert selection.needed(chosen.blobs, stored, read(tmp_path / "empty")) == stored.used
    assert selection.present(chosen, stored, read(tmp_path / "empty")) == []
    folder.data(digest(OWN)).unlink()
    folder.data(digest(BASE)).write_bytes(BASE[:-1])
    live = read(folder.path)
    assert selection.needed(chosen.blobs, stored, live) == len(OWN) + len(BASE)
    assert {*chosen.blobs} - {*selection.present(chosen, stored, live)} == {digest(OWN), digest(BASE)}


@pytest.mark.parametrize(
    ("ahead", "moved", "put"), [(0, True, True), (7200, True, False), (7200, False, True)]
)
def test_a_tag_from_a_clock_that_was_ahead_takes_no_newer_ones_place(
    folder: StoredFolder, ahead: int, moved: bool, put: bool
) -> None:
    begun = dt.datetime.fromtimestamp(folder.now, dt.UTC)
    folder.now += ahead
    folder.image("late", [OWN], "1")
    chosen = selection.select(read(folder.path), None)
    folder.now -= ahead
    if moved:
        folder.image("late", [b"pushed since"], "1")
    left = selection.without_doubtful(chosen, read(folder.path), begun)
    assert ("late" in {tag.repository for tag in left.tags}) == put
    assert len(chosen.tags) - len(left.tags) == (not put)
    assert left.blobs == chosen.blobs


def test_what_became_of_the_tags(folder: StoredFolder, tmp_path: Path) -> None:
    folder.image("lost", [OWN], "1")
    chosen = selection.select(read(folder.path), None)
    folder.image("apps/web", [b"pushed since"], "1")
    folder.tag_folder("lost", "1").joinpath("current/link").unlink()
    outcome = selection.compare(chosen, read(folder.path))
    names = [[tag.repository for tag in tags] for tags in vars(outcome).values()]
    assert names == [["apps/multi"], ["apps/web"], ["lost"]]


@pytest.mark.parametrize("what", ["tag", "layer", "bytes", "link", "what no tag needs"])
def test_a_copy_that_lacks_anything_is_none(folder: StoredFolder, what: str) -> None:
    folder.layer("apps/web", b"of a push under way")
    stored = read(folder.path)
    check.compare(stored, read(folder.path), "there")
    match what:
        case "tag":
            folder.tag_folder("apps/web", "1").joinpath("current/link").unlink()
        case "layer":
            folder.data(digest(OWN)).unlink()
        case "bytes":
            folder.data(digest(OWN)).write_bytes(OWN[:-1])
        case "link":
            folder.layer_link("apps/web", digest(OWN)).unlink()
        case "what no tag needs":
            folder.data(digest(b"of a push under way")).unlink()
    with pytest.raises(Conflict, match="the copy in there is not complete"):
        check.compare(stored, read(folder.path), "there")


def test_a_tag_that_did_not_pull_before_is_said_and_no_reason_against_the_copy(folder: StoredFolder) -> None:
    assert list(check.describe_faults(read(folder.path))) == []
    folder.data(digest(OWN)).unlink()
    stored = read(folder.path)
    check.compare(stored, read(folder.path), "there")
    (line,) = check.describe_faults(stored)
    assert line.startswith("not to be pulled, from the backup neither (1): apps/web:1")
