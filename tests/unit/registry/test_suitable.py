"""A host whose engine or file system cannot hold our files is named before anything is changed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tasks.registry import storage, suitable
from tasks.registry.storage import Mount, Place
from tasks.registry.suitable import Confinement
from tasks.remote.fact_scripts import read_answer, script
from tasks.remote.files import Observed
from tasks.remote.steps import Conflict, Step

PATH, UID = "/mnt/nas/registry", 60706
OWN = Observed("directory", "700", UID, UID, 0.0, 1, None)
ROOTS = Observed("directory", "755", 0, 0, 0.0, 1, None)
LABEL = "mkdir -p {0} && semanage fcontext -a -t container_file_t '{0}(/.*)?' && restorecon -R {0}".format


def on(kind: str) -> Place:
    return Place(Mount("/mnt/nas", "nas:/share", kind))


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs"])
@pytest.mark.parametrize("observed", [None, ROOTS, OWN])
def test_file_systems_that_keep_owners_are_not_tried(kind: str, observed: Observed | None) -> None:
    assert suitable.trial(PATH, on(kind), observed, UID) == []


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "vfat", "exfat", "fuseblk", "9p"])
def test_a_folder_that_is_right_already_is_not_tried(kind: str) -> None:
    assert suitable.trial(PATH, on(kind), OWN, UID) == []


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "fuseblk", "fuse.bindfs", "ntfs3", "9p", "virtiofs"]
)
@pytest.mark.parametrize("observed", [None, ROOTS])
def test_a_file_system_that_may_keep_none_is_tried(kind: str, observed: Observed | None) -> None:
    (step,) = suitable.trial(PATH, on(kind), observed, UID)
    assert step.text == f"try whether {PATH} can be given to the registry: it is on {kind}"


@pytest.mark.parametrize("kind", ["vfat", "msdos", "exfat"])
@pytest.mark.parametrize("observed", [None, ROOTS])
def test_fat_is_refused_with_its_cure(kind: str, observed: Observed | None) -> None:
    with pytest.raises(Conflict) as stop:
        suitable.trial(PATH, on(kind), observed, UID)
    assert stop.value.problem == f"{kind} at /mnt/nas keeps no owners of files"
    assert stop.value.remedy == (
        "use another disk, or mount it with uid=60706,gid=60706,dir_mode=0700,file_mode=0600 (SMB; FAT: umask=0077), "
        "or export it with no_root_squash (NFS), and run again"
    )


@pytest.mark.parametrize(
    "mount",
    [
        "vfat rw,relatime,fmask=0022,dmask=0022,codepage=437,iocharset=ascii,shortname=mixed,errors=remount-ro",
        "exfat rw,relatime,fmask=0022,dmask=0022,iocharset=utf8,errors=remount-ro",
    ],
)
def test_fat_is_refused_by_what_findmnt_prints_of_it(tmp_path: Path, mount: str) -> None:
    (tmp_path / "findmnt").write_text(f"#!/bin/sh\necho /media/usb /dev/sdb1 {mount}\n")
    (tmp_path / "findmnt").chmod(0o755)
    path = f"{tmp_path}/registry"
    done = subprocess.run(
        ["sh", "-c", script(storage.look(f"{tmp_path}/record", [path]))],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    place = storage.read_places(read_answer(done.stdout.splitlines()))[path]
    with pytest.raises(Conflict) as stop:
        suitable.trial(path, place, None, UID)
    assert stop.value.problem == f"{mount.partition(' ')[0]} at /media/usb keeps no owners of files"


def take(step: Step, folder: Path, chown: str) -> tuple[int, str]:
    """Take the step with a `chown` that is a stub, as root may be mapped to nobody."""
    stubs = folder / "stubs"
    stubs.mkdir()
    (stubs / "chown").write_text(f"#!/bin/sh\n{chown}\n")
    (stubs / "chown").chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", step.script], env={"PATH": f"{stubs}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("chown", "result"),
    [
        ("exit 1", (1, "nfs4 at /mnt/nas keeps no owners of files\n")),
        ("exit 0", (1, "nfs4 at /mnt/nas keeps no owners of files\n")),  # silently, as some file systems do
    ],
)
def test_the_trial_leaves_nothing_and_says_what_it_saw(
    tmp_path: Path, chown: str, result: tuple[int, str]
) -> None:
    (step,) = suitable.trial(f"{tmp_path}/not/there", on("nfs4"), None, os.getuid() + 1)
    assert take(step, tmp_path, chown) == result
    assert [path.name for path in tmp_path.iterdir()] == ["stubs"]


def test_the_trial_passes_where_owners_are_kept(tmp_path: Path) -> None:
    (step,) = suitable.trial(f"{tmp_path}/not/there", on("nfs4"), None, os.getuid())
    assert take(step, tmp_path, "exit 0") == (0, "")


def test_the_snap_is_refused() -> None:
    with pytest.raises(
        Conflict, match=r"^Docker Engine is the snap here, which may not use /etc/homelab-registry"
    ):
        suitable.check(Confinement(snap=True))


@pytest.mark.parametrize(
    "labels", [{}, {PATH: "container_file_t"}, {PATH: "svirt_sandbox_file_t", "/etc/x": "container_file_t"}]
)
def test_labels_that_containers_may_use(labels: dict[str, str]) -> None:
    found = Confinement(labels=labels)
    suitable.check(found)
    assert found.labels == labels


def test_folders_that_selinux_closes_are_named_with_the_commands_that_open_them() -> None:
    with pytest.raises(Conflict) as stop:
        suitable.check(Confinement(labels={"/etc/x": "etc_t", "/srv": "container_file_t", PATH: "var_lib_t"}))
    assert stop.value.problem == f"SELinux does not let containers use /etc/x and {PATH}"
    assert stop.value.remedy == f"label them, on that host: {LABEL('/etc/x')} && {LABEL(PATH)}; and run again"


def look(folder: Path, *, unit: int, snap: bool, enforce: str | None, options: str = "") -> Confinement:
    """Run the script with stubs, and with files of a folder in place of the kernel's and the snap's."""
    stubs = {
        "systemctl": f"exit {unit}",
        "docker": f"echo '{options}'",
        "stat": "echo system_u:object_r:var_lib_t:s0",
    }
    for name, body in stubs.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    if snap:
        (folder / "snap").mkdir()
    if enforce:
        (folder / "enforce").write_text(enforce)
    asked = suitable.look(["/etc/x", f"{folder}/a/b"])
    asked = asked.replace("/var/snap/docker/current", f"{folder}/snap").replace(
        "/sys/fs/selinux", str(folder)
    )
    done = subprocess.run(
        ["sh", "-c", script(asked)], env={"PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return suitable.read_confinement(read_answer(done.stdout.splitlines()))


CONFINED = "[name=seccomp,profile=default name=selinux name=cgroupns]"


@pytest.mark.parametrize(
    ("unit", "snap", "enforce", "options", "is_snap", "closed"),
    [
        (0, False, None, "", False, False),
        (0, True, None, "", False, False),  # the snap is there, the package's engine answers
        (3, True, None, "", True, False),
        (3, False, None, "", False, False),
        (0, False, "0", CONFINED, False, False),
        (0, False, "1", "[name=seccomp,profile=default]", False, False),
        (0, False, "1", CONFINED, False, True),
    ],
)
def test_what_the_script_reports(
    tmp_path: Path, unit: int, snap: bool, enforce: str | None, options: str, is_snap: bool, closed: bool
) -> None:
    found = look(tmp_path, unit=unit, snap=snap, enforce=enforce, options=options)
    labels = {"/etc/x": "var_lib_t", f"{tmp_path}/a/b": "var_lib_t"} if closed else {}
    assert found == Confinement(is_snap, labels)
