"""How a leaf is put in force: each state of the link, and the step's script run for real in a folder."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.registry import leaf
from tasks.registry.containers import UID
from tasks.remote.files import File, Observed
from tasks.remote.steps import Conflict

LINK = f"/x/{leaf.LINK}"
LEAF = leaf.file("/x", "-----CERT-----\n", "-----KEY-----\n", UID)
NAME = Path(LEAF.path).name


def seen(kind: str = "symbolic link", sha256: str | None = LEAF.sha256, mode: str = "600") -> Observed:
    return Observed(kind, mode, LEAF.owner, LEAF.group, 0.0, 1, sha256)


def texts(link: Observed | None, target: str = NAME, mode: str = "600") -> list[str]:
    observed = {LINK: link, LEAF.path: seen("regular file", mode=mode)}
    return [step.text for step in leaf.steps(LINK, LEAF, observed, target)]


@pytest.mark.parametrize(
    ("link", "target", "reason"),
    [
        (None, "", "it is missing"),
        (seen("regular file"), "", "it is a regular file"),
        (seen(), "other.pem", "it names other.pem"),
        (seen(), LEAF.path, f"it names {LEAF.path}"),
        (seen(sha256="0"), NAME, "its content is not as it should be"),
        (seen(sha256=None), "gone.pem", "its content is not as it should be"),
    ],
)
def test_what_the_link_has_to_name_and_does_not(link: Observed | None, target: str, reason: str) -> None:
    assert texts(link, target) == [f"write {LINK}: {reason}"]


def test_the_leaf_in_force_is_left_alone_but_for_its_mode_and_owner() -> None:
    assert texts(seen()) == []
    assert texts(seen(), mode="644") == [f"set owner and mode of {LEAF.path}: its mode is 0644, not 0600"]


def test_a_folder_in_the_place_of_the_link_is_named() -> None:
    with pytest.raises(Conflict, match=f"{LINK} is a directory, but this project keeps a link there"):
        texts(seen("directory", None))


def test_each_leaf_and_each_chain_has_a_file_of_its_own() -> None:
    made = {leaf.file("/x", pem, "key", UID).path for pem in ("one", "two", "one and its chain")}
    assert len(made) == 3


def put_in_force(folder: Path, pem: str) -> File:
    """Run the step that puts a leaf in force, as the user who runs the tests."""
    mine = replace(leaf.file(str(folder), pem, "key\n", os.getuid()), group=os.getgid())
    link = f"{folder}/{leaf.LINK}"
    (step,) = leaf.steps(link, mine, {link: None}, "")
    subprocess.run(["sh", "-c", step.script], input=f"{step.stdin}\n", text=True, check=True)
    return mine


def test_a_replaced_leaf_stays_for_an_hour(tmp_path: Path) -> None:
    """Handshakes under way may read it; its time is that of its replacement, not that of its making."""
    tls = tmp_path / leaf.FOLDER
    tls.mkdir(parents=True)
    (tls / "tls.pem").write_text("of an earlier gateway")
    first, link = put_in_force(tmp_path, "first\n"), tls / "current.pem"
    os.utime(first.path, (0, 0))
    os.utime(tls / "tls.pem", (0, 0))
    second = put_in_force(tmp_path, "second\n")
    assert (link.readlink(), link.read_text()) == (Path(Path(second.path).name), "second\nkey\n")
    assert Path(first.path).read_text() == "first\nkey\n"
    assert Path(second.path).stat().st_mode & 0o777 == 0o600
    os.utime(first.path, (0, 0))
    third = put_in_force(tmp_path, "third\n")
    assert {path.name for path in tls.iterdir()} == {
        "current.pem", "tls.pem", Path(second.path).name, Path(third.path).name,
    }  # fmt: skip


def test_an_upload_that_ends_half_way_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / leaf.FOLDER).mkdir(parents=True)
    first = put_in_force(tmp_path, "first\n")
    link = f"{tmp_path}/{leaf.LINK}"
    (step,) = leaf.steps(link, leaf.file(str(tmp_path), "second\n", "key\n", os.getuid()), {link: None}, "")
    done = subprocess.run(["sh", "-c", step.script], input="sec", text=True, check=False)
    assert done.returncode != 0
    assert Path(link).read_text() == first.content
    assert len(list((tmp_path / leaf.FOLDER).iterdir())) == 2
