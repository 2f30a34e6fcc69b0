"""Which folder is taken for the images': never a place where they were and are not now."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.registry import storage
from tasks.registry.storage import MARK, Mount, Place, Record, locate
from tasks.remote.fact_scripts import read_answer, script
from tasks.remote.steps import Conflict
from tasks.storage.facts import IMAGES

PATH = "/mnt/tank/registry"
ID, OTHER = "ab" * 16, "cd" * 16
ROOT = Mount("/", "/dev/sda1", "ext4")
TANK = Mount("/mnt/tank", "/dev/sdb1", "ext4")
HERE = Record(PATH, ID, "/mnt/tank")
ELSEWHERE = Record("/var/lib/homelab-registry", ID, "/")

GOOD = Place(TANK, exists=True, mark=ID, repositories=3)
UNUSED = Place(ROOT, exists=True, mark=ID)
ABSENT = Place(ROOT)
EMPTY = Place(ROOT, exists=True)

BEGIN = f"mkdir -p {PATH} && echo > {PATH}/{MARK}"


@pytest.mark.parametrize(
    ("place", "records", "id_"),
    [
        (ABSENT, [], None),
        (EMPTY, [], None),
        (GOOD, [HERE], ID),
        (GOOD, [], ID),  # host and state are new, the disk is not
        (replace(GOOD, repositories=None), [HERE], ID),
        (replace(GOOD, mark=None), [HERE], ID),  # restored without the mark
        (replace(GOOD, mark=None), [Record(PATH)], None),  # an upgrade
        (replace(GOOD, mark=None, entries=("docker",)), [], None),  # the images of a registry of the user's
        (replace(GOOD, mark=None, entries=("docker", "notes.txt")), [HERE], ID),
        (replace(EMPTY, mark="", entries=("notes.txt",)), [], None),  # a person says so
        (replace(GOOD, mount=None), [HERE], ID),
        (replace(GOOD, entries=("docker", "notes.txt")), [HERE], ID),
        (GOOD, [Record(PATH, OTHER, "/"), HERE], ID),  # the state knows what the host does not
        (GOOD, [ELSEWHERE], ID),  # moved by hand, with the mark
        (replace(GOOD, mark=None), [ELSEWHERE], ID),  # and without it
        (replace(GOOD, mount=replace(TANK, target="/mnt/tank/registry")), [HERE], ID),
        (replace(EMPTY, mark=""), [ELSEWHERE], ID),
        (replace(GOOD, mark=""), [Record(PATH, OTHER)], None),
        (replace(EMPTY, mark=OTHER), [], None),
    ],
)
def test_a_folder_that_is_taken(place: Place, records: list[Record], id_: str | None) -> None:
    found = locate(PATH, {PATH: place, ELSEWHERE.path: GOOD}, records)
    assert (found.path, found.mount) == (PATH, place.mount.target if place.mount else None)
    assert storage.is_id(found.id)
    assert found.id == (id_ or found.id)
    assert found.id != OTHER or not records


def test_a_folder_that_was_never_used_is_left_for_another() -> None:
    assert locate(PATH, {PATH: ABSENT, ELSEWHERE.path: UNUSED}, [ELSEWHERE]).path == PATH


def test_an_empty_mark_in_the_place_of_lost_images_gets_a_new_id() -> None:
    found = locate(PATH, {PATH: replace(EMPTY, mark="")}, [HERE])
    assert storage.is_id(found.id)
    assert found.id != ID


@pytest.mark.parametrize(
    ("place", "records", "problem", "remedy"),
    [
        (
            ABSENT, [HERE], f"the folder of the images, {PATH}, does not exist: /mnt/tank is not mounted",
            f"mount it (mount /mnt/tank), see findmnt -T {PATH}, and run again; or, to begin without images, on that "
            f"host: {BEGIN}",
        ),
        (
            EMPTY, [HERE], f"the folder of the images, {PATH}, is empty: /mnt/tank is not mounted",
            f"mount it (mount /mnt/tank), see findmnt -T {PATH}, and run again; or, to begin without images, on that "
            f"host: {BEGIN}",
        ),
        (
            replace(EMPTY, mount=TANK), [HERE], f"the folder of the images, {PATH}, is empty",
            f"mount its disk or share, see findmnt -T {PATH}, and run again; or, to begin without images, on that "
            f"host: {BEGIN}",
        ),
        (
            replace(EMPTY, mark=OTHER), [Record(PATH, ID)], f"the folder of the images, {PATH}, is empty",
            f"mount its disk or share, see findmnt -T {PATH}, and run again; or, to begin without images, on that "
            f"host: {BEGIN}",
        ),
        (
            EMPTY, [Record(PATH)], f"the folder of the images, {PATH}, is empty",
            f"mount its disk or share, see findmnt -T {PATH}, and run again; or, to begin without images, on that "
            f"host: {BEGIN}",
        ),
        (
            replace(GOOD, mark=OTHER), [HERE],
            f"{PATH} has the images of another registry (/dev/sdb1 at /mnt/tank)",
            f"mount the right one (findmnt -T {PATH} shows what is there) and run again; or, to serve these, on that "
            f"host: echo > {PATH}/{MARK}",
        ),
        (
            replace(GOOD, mount=ROOT), [HERE], f"{PATH} was on what is mounted at /mnt/tank, and is not now",
            "mount it (mount /mnt/tank) and run again; or, if the images were moved, on that host: "
            f"echo > {PATH}/{MARK}",
        ),
        (
            ABSENT, [ELSEWHERE],
            f"the images are in {ELSEWHERE.path}, and registry_storage_path is now {PATH}, which has none",
            f"move them, on that host: docker stop homelab-registry && mkdir -p {PATH} && "
            f"cp -a {ELSEWHERE.path}/. {PATH}/; or, to begin without images: {BEGIN}; and run again",
        ),
        (
            Place(ROOT, link="/mnt/gone/registry"), [HERE],
            f"{PATH} is a symbolic link to /mnt/gone/registry, which is not there",
            "mount what /mnt/gone/registry is on (findmnt -T /mnt/gone/registry) and run again",
        ),
        (
            replace(GOOD, link="/srv/registry"), [HERE], f"{PATH} is a symbolic link to /srv/registry",
            'set registry_storage_path = "/srv/registry" and run again',
        ),
        (
            replace(GOOD, mount=replace(TANK, read_only=True)), [HERE],
            f"{PATH} is mounted read-only (/dev/sdb1 at /mnt/tank)",
            "see why (dmesg; findmnt /mnt/tank), mount it writable (mount -o remount,rw /mnt/tank) and run again",
        ),
        (
            Place(Mount("/mnt/nas", "nas:/share", "nfs4"), exists=True, closed=True), [],
            f"root may not look into {PATH} (nas:/share at /mnt/nas)",
            "let root in (no_root_squash in the NFS server's exports), and run again",
        ),
        (
            replace(EMPTY, entries=("authorized_keys", "id_ed25519")), [],
            f"registry_storage_path {PATH} has other things in it: authorized_keys, id_ed25519",
            f'set registry_storage_path = "{PATH}/homelab-registry" and run again',
        ),
        *(
            (
                replace(EMPTY, entries=("backup", "media", "music", "photos"), mark=mark), records,
                f"registry_storage_path {PATH} has other things in it: backup, media, music and more",
                f'set registry_storage_path = "{PATH}/homelab-registry" and run again',
            )
            for mark, records in ((None, [HERE]), (None, [ELSEWHERE]), (OTHER, [HERE]), (OTHER, [Record("/a", ID)]))
        ),
        (
            replace(GOOD, mark=None, entries=("docker", "photos")), [ELSEWHERE],
            f"registry_storage_path {PATH} has other things in it besides a registry's images: photos",
            f"move them, on that host and with their registry stopped: mkdir {PATH}/homelab-registry && mv {PATH}/docker "
            f'{PATH}/homelab-registry/; then set registry_storage_path = "{PATH}/homelab-registry" and run again',
        ),
    ],
)  # fmt: skip
def test_a_folder_that_is_refused(place: Place, records: list[Record], problem: str, remedy: str) -> None:
    with pytest.raises(Conflict) as stop:
        locate(PATH, {PATH: place, ELSEWHERE.path: GOOD}, records)
    assert (stop.value.problem, stop.value.remedy) == (problem, remedy)


def test_images_in_a_folder_that_cannot_be_seen_now_are_not_left_behind() -> None:
    with pytest.raises(Conflict, match="the images are in /var/lib/homelab-registry"):
        locate(PATH, {PATH: ABSENT, ELSEWHERE.path: ABSENT}, [ELSEWHERE])


@pytest.mark.parametrize(
    "text", ["", "\n", "path=/x\n", "path=x\nid=" + ID, "path=/x\nid=short", "\x00" * 40, f"id={ID}\n"]
)
def test_a_damaged_record_is_none(text: str) -> None:
    assert storage.read_record(text) is None


def test_a_record_is_read_as_it_was_written() -> None:
    for record in (HERE, replace(HERE, mount=None)):
        assert storage.read_record(record.text) == record


# What the script reports, of real folders.


def look(*paths: Path, record: Path | None = None) -> dict[str, Place]:
    asked = storage.look(str(record or "/nowhere"), [str(path) for path in paths])
    done = subprocess.run(["sh", "-c", script(asked)], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    found = storage.read_places(read_answer(done.stdout.splitlines()))
    return {path: replace(place, mount=None) for path, place in found.items()}


def test_what_is_at_a_path(tmp_path: Path) -> None:
    absent, empty, file, link, dangling = (
        tmp_path / name for name in ("a/b", "empty", "file", "link", "gone")
    )
    (empty / "lost+found").mkdir(parents=True)
    (empty / f".{MARK}.homelab-new").touch()
    file.touch()
    link.symlink_to(empty)
    dangling.symlink_to("/nowhere/at/all")
    strange = tmp_path / "strange"
    strange.mkdir()
    for name in ("a|b", ".git", "two\nlines", "x y", "z1", "z2"):
        (strange / name).touch()
    used = tmp_path / "used"
    (used / IMAGES / "repositories/team").mkdir(parents=True)
    (used / MARK).write_text(storage.mark_text(ID))
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / MARK).touch()
    record = tmp_path / "record"
    record.write_text(Record(str(used), ID).text)
    paths = (absent, empty, file, link, dangling, strange, begun)
    assert look(*paths, record=record) == {
        str(absent): Place(),
        str(empty): Place(exists=True),
        str(file): Place(),
        str(link): Place(exists=True, link=str(empty)),
        str(dangling): Place(link="/nowhere/at/all"),
        str(strange): Place(exists=True, entries=(".git", "a|b", "two?lines", "x y", "z1")),
        str(begun): Place(exists=True, mark=""),
        str(used): Place(exists=True, entries=("docker",), mark=ID, repositories=1),
    }


def test_what_systems_leave_in_any_folder_says_nothing_of_what_it_is_for(tmp_path: Path) -> None:
    left = (
        "lost+found .DS_Store ._x .Trash-1000 .Trashes .Spotlight-V100 .fseventsd .TemporaryItems .zfs .snapshot .snapshots "
        "aquota.user Thumbs.db desktop.ini $RECYCLE.BIN @eaDir #recycle #snapshot .nfs0000000001"
    )
    for name in [*left.split(), "System Volume Information"]:
        (tmp_path / name).mkdir()
    assert look(tmp_path)[str(tmp_path)].entries == ()
    theirs = ("Thumbs.db.txt", "recycle", "snapshots", "x.DS_Store", ".snapshots2")
    for name in theirs:
        (tmp_path / name).touch()
    assert sorted(look(tmp_path)[str(tmp_path)].entries) == sorted(theirs)


def test_each_path_is_looked_at_once(tmp_path: Path) -> None:
    record = tmp_path / "record"
    record.write_text(Record(str(tmp_path), ID).text)
    assert len(look(tmp_path, record=record)) == 1


def test_the_mount_of_a_path_that_does_not_exist_is_that_of_its_parent() -> None:
    done = subprocess.run(
        ["sh", "-c", script(storage.look("/nowhere", ["/proc/nothing/here"]))],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    place = storage.read_places(read_answer(done.stdout.splitlines()))["/proc/nothing/here"]
    assert place.mount
    assert (place.mount.target, place.mount.kind) == ("/proc", "proc")
