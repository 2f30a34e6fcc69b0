"""`files/snapshot.sh` makes a copy whose tags are whole, whatever is pushed or deleted meanwhile."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.unit.backup.store import Store

SCRIPT = Path(__file__).parents[3] / "files/snapshot.sh"
COPY = ".homelab-registry-snapshot"


def take(
    store: Store, script: str = SCRIPT.read_text(), **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-s", store.folder, store.folder / COPY, store.folder / ".lock"], input=script,
        env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def between(store: Store, program: str, script: str) -> dict[str, str]:
    """Return the environment in which the first call of a program is preceded by a script."""
    folder = store.folder / "bin"
    folder.mkdir()
    (folder / program).write_text(
        f'#!/bin/sh\nPATH=/usr/bin:/bin\nif mkdir "{folder}/once" 2>/dev/null; then\n{script}\nfi\nexec {program} "$@"\n'
    )
    (folder / program).chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def copied(store: Store) -> Store:
    return Store(store.folder / COPY)


def images(store: Store) -> dict[str, bytes]:
    return files(store.v2)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    (tmp_path / ".homelab-registry").write_text("id\n")
    store.tag("team/app", "v1", store.manifest("team/app", version=1))
    # Both names are folders of the registry, and good names of a tag.
    store.tag("team/app", "_layers", store.manifest("team/app", version=2))
    store.tag("app", "_uploads", store.manifest("app", version=3))
    store.tag("app", "tags", store.manifest("app", version=4))
    return store


def test_it_is_the_same_and_takes_no_space(store: Store) -> None:
    done = take(store)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("20")
    assert images(copied(store)) == images(store)
    assert (store.folder / COPY / ".homelab-registry").read_text() == "id\n"
    for blob in store.v2.glob("blobs/**/data"):
        assert blob.samefile(copied(store).v2 / blob.relative_to(store.v2))
    for link in store.v2.glob("repositories/**/link"):
        assert not link.samefile(copied(store).v2 / link.relative_to(store.v2)), "2.8 writes links in place"


def test_uploads_stay_out(store: Store) -> None:
    before = images(store)
    upload = store.v2 / "repositories/app/_uploads/1"
    upload.mkdir(parents=True)
    (upload / "data").write_text("half")
    (upload / "link").write_text("half")
    assert take(store).returncode == 0
    assert images(copied(store)) == before


@pytest.mark.parametrize("folder", ["none", "docker/registry/v2/repositories"])
def test_an_empty_registry_has_an_empty_copy(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True)
    done = subprocess.run(["sh", SCRIPT, tmp_path, tmp_path / COPY, tmp_path / ".lock"], check=False)
    assert done.returncode == 0
    assert files(tmp_path / COPY) == {}


def test_what_a_killed_one_left_is_replaced(store: Store) -> None:
    (store.folder / COPY / "docker/registry/v2/repositories/app").mkdir(parents=True)
    (store.folder / COPY / "docker/registry/v2/repositories/app/half").write_text("x")
    assert take(store).returncode == 0
    assert images(copied(store)) == images(store)


@pytest.mark.parametrize("program", ["tar", "cp", "find"])
def test_an_image_that_is_pushed_meanwhile_is_whole_or_not_there(store: Store, program: str) -> None:
    before = images(store)
    other = Store(store.folder / "other")
    other.tag("app", "new", other.manifest("app", version="new"))
    other.tag("app", "tags", other.manifest("app", version="moved"))
    push = f'cp -a "{other.v2}/." "{store.v2}/"'
    done = take(store, **between(store, program, push))
    assert (done.returncode, done.stderr) == (0, "")
    assert copied(store).broken() == []
    assert before.keys() <= images(copied(store)).keys()


@pytest.mark.parametrize("attempts", ["1", "1 2 3"])
def test_a_tag_that_is_deleted_meanwhile_is_gone(store: Store, attempts: str) -> None:
    folder = f"{store.v2}/repositories/app/_manifests"
    # `grep` runs first between the copy of tags and that of other links.
    delete = f'rm -r "{folder}/tags/tags" "{folder}"/revisions/*/*'
    script = SCRIPT.read_text().replace("1 2 3;", f"{attempts};")
    done = take(store, script, **between(store, "grep", delete))
    assert (done.returncode, done.stderr) == (0, "")
    assert not (copied(store).v2 / "repositories/app/_manifests/tags/tags").exists()


def test_a_link_that_is_being_written_is_read_again(store: Store) -> None:
    (link, *_) = store.v2.glob("repositories/app/_manifests/revisions/sha256/*/link")
    whole = link.read_text()
    link.write_text("")
    done = take(store, **between(store, "sleep", f"printf %s {whole} > '{link}'"))
    assert (done.returncode, done.stderr) == (0, "")
    assert (copied(store).v2 / link.relative_to(store.v2)).read_text() == whole


def test_a_link_with_the_inode_of_one_that_was_read_keeps_its_own_content(store: Store) -> None:
    """As if the first had been replaced after it was read, and its inode been given to the second."""
    first, second = (
        store.v2 / f"repositories/app/_manifests/tags/{name}/current/link" for name in ("_uploads", "tags")
    )
    second.unlink()
    second.hardlink_to(first)
    assert take(store).returncode == 0
    inodes = {(copied(store).v2 / link.relative_to(store.v2)).stat().st_ino for link in (first, second)}
    assert len(inodes) == 2


def test_what_cannot_be_read_is_an_error(store: Store) -> None:
    done = take(store, **between(store, "cp", "echo 'cp: error reading x: Input/output error' >&2; exit 1"))
    assert done.returncode == 1
    assert "Input/output error" in done.stderr
    assert not (store.folder / COPY).exists(), "a half copy takes room for nothing"


@pytest.mark.parametrize(("free", "code"), [("1000000", 0), ("3", 1)])
def test_without_hard_links_it_is_a_copy_if_there_is_room(store: Store, free: str, code: int) -> None:
    environment = between(store, "df", f"echo '     Avail'; echo {free}; exit")
    (store.folder / "bin/ln").write_text("#!/bin/sh\nexit 1\n")
    (store.folder / "bin/ln").chmod(0o755)
    before = images(store)
    done = take(store, **environment)
    assert done.returncode == code, done.stderr
    assert images(store) == before
    assert (store.folder / COPY).exists() == (code == 0)
    if code:
        assert f"{free} KB are free for a snapshot of" in done.stderr
    else:
        assert images(copied(store)) == before
        assert not any(
            blob.samefile(copied(store).v2 / blob.relative_to(store.v2))
            for blob in store.v2.glob("blobs/**/data")
        )


def test_two_do_not_run_at_once(store: Store) -> None:
    lock = store.folder / ".lock"
    with subprocess.Popen(["flock", lock, "sh", "-c", "echo; read x"], stdin=-1, stdout=-1) as holder:
        assert holder.stdout
        assert holder.stdin
        holder.stdout.readline()
        done = take(store, SCRIPT.read_text().replace("-w 600", "-n"))
        holder.stdin.close()
    assert done.returncode == 1
    assert "still under way" in done.stderr
