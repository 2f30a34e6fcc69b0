from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tasks.clients import hosts_file
from tasks.clients.hosts_file import HostsFile
from tasks.remote.steps import Conflict

NAMES = ["registry.homelab.local", "images.homelab.local"]
OURS = "192.168.1.10 registry.homelab.local images.homelab.local # homelab-registry\n"
USERS = "127.0.0.1 localhost\n\n# mine\n10.0.0.5\tprinter  # registry.homelab.local\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (USERS, USERS + OURS),
        ("", OURS),
        ("127.0.0.1 localhost", "127.0.0.1 localhost\n" + OURS),
        (USERS + OURS, USERS + OURS),
        ("a\n" + OURS + "b\n", "a\n" + OURS + "b\n"),
        ("192.168.1.10 old.name # homelab-registry\n" + USERS, OURS + USERS),
        ("1.2.3.4 old.name images.homelab.local # homelab-registry\n" + USERS, OURS + USERS),
        ("# homelab-registry\n" + USERS, OURS + USERS),
        (OURS + USERS + OURS, OURS + USERS),
        ("\x0b127.0.0.1 x\r\n", "\x0b127.0.0.1 x\r\n" + OURS),
        ("192.168.1.10 registry.homelab.local\n", "192.168.1.10 registry.homelab.local\n" + OURS),
    ],
)
def test_one_line_of_ours_and_every_other_byte_as_it_was(before: str, after: str) -> None:
    assert hosts_file.merge(before, "192.168.1.10", NAMES) == after


def test_our_line_is_removed_and_nothing_else() -> None:
    assert hosts_file.merge(OURS + USERS + OURS, None, NAMES) == USERS


@pytest.mark.parametrize(
    ("line", "address"),
    [
        ("192.168.1.99 registry.homelab.local", "192.168.1.99"),
        ("192.168.1.99 Registry.Homelab.LOCAL", "192.168.1.99"),
        ("fd00::7 nas images.homelab.local # test", "fd00::7"),
        ("x registry.homelab.local", "x"),
    ],
)
def test_a_line_with_another_address_is_a_conflict_and_quoted(line: str, address: str) -> None:
    with pytest.raises(Conflict) as stop:
        hosts_file.merge(f"127.0.0.1 localhost\n{line}\n", "192.168.1.10", NAMES)
    assert "/etc/hosts line 2 gives" in stop.value.problem
    assert line in stop.value.problem
    assert address in stop.value.remedy
    assert hosts_file.merge(f"{OURS}{line}\n", None, NAMES) == f"{line}\n"


def test_another_registry_s_entry_is_a_conflict_and_stays() -> None:
    line = "192.168.1.99 registry.home.arpa # homelab-registry"
    with pytest.raises(
        Conflict, match=r"line 2 is the entry of another registry, registry\.home\.arpa"
    ) as stop:
        hosts_file.merge(f"127.0.0.1 localhost\n{line}\n", "192.168.1.10", NAMES)
    assert line in stop.value.problem
    assert hosts_file.merge(f"{OURS}{line}\n", None, NAMES) == f"{line}\n"


@pytest.mark.parametrize("managed", [True, False])
@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.1.1", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("beside", [OURS, "192.168.1.10 images.homelab.local\n", ""])
def test_a_loopback_address_is_a_conflict_even_beside_the_right_one(
    beside: str, address: str, managed: bool
) -> None:
    line = f"{address} nas images.homelab.local # test"
    with pytest.raises(Conflict) as stop:
        hosts_file.merge(f"{beside}{line}\n", "192.168.1.10" if managed else None, NAMES)
    assert stop.value.problem == (
        f"/etc/hosts line {2 if beside else 1} gives images.homelab.local the loopback address {address}, "
        f"where Docker checks no certificate: {line!r}"
    )
    assert stop.value.remedy == "take the name out of that line and run again"


def steps(text: str, rescue: str | None = None, *, mount: bool = False) -> list[str]:
    found = hosts_file.steps(HostsFile(text, is_mount=mount, rescue=rescue), "192.168.1.10", NAMES)
    return [f"{step.text} <- {step.stdin!r}" for step in found]


def test_the_step_names_the_reason() -> None:
    assert steps(USERS + OURS) == []
    assert steps(USERS) == [f"write /etc/hosts: our entry is missing <- {USERS + OURS!r}"]
    assert steps("192.168.1.10 x # homelab-registry\n") == [
        f"write /etc/hosts: our entry is not as it should be <- {OURS!r}"
    ]


def test_an_interrupted_write_in_place_is_finished_from_the_copy() -> None:
    half = USERS[:20]
    assert steps(half, USERS + OURS, mount=True) == [
        f"write /etc/hosts: a run was killed while writing it <- {USERS + OURS!r}"
    ]
    assert steps("", USERS + OURS, mount=True) == [
        f"write /etc/hosts: our entry is missing <- {USERS + OURS!r}"
    ]


def test_a_stale_copy_never_undoes_what_the_user_wrote_since() -> None:
    newer = USERS.replace("10.0.0.5", "10.0.0.6")
    assert steps(newer, USERS + OURS, mount=True) == [
        f"write /etc/hosts: our entry is missing <- {newer + OURS!r}"
    ]
    assert steps(newer + OURS, USERS + OURS) == [
        "remove /etc/.hosts.homelab-rescue: a run was killed while writing /etc/hosts <- None"
    ]


def run(found: HostsFile, folder: Path, names: list[str] = NAMES) -> list[str]:
    """Carry the steps out below a folder; return their texts."""
    taken = hosts_file.steps(found, "192.168.1.10", names)
    for step in taken:
        moved = step.script.replace(hosts_file.RESCUE, f"{folder}/rescue")
        # pyinfra sends UTF-8 and adds a newline.
        subprocess.run(["sh", "-c", moved], input=f"{step.stdin}\n".encode(), check=True, capture_output=True)
    return [step.text for step in taken]


BLOCK_LIST = b"".join(b"0.0.0.0 ads-%d.example.org\n" % number for number in range(60_000))
"""1.8 MB."""


@pytest.mark.parametrize(
    "before",
    [
        b"127.0.0.1 localhost\n192.168.1.20 drucker  # B\xfcro\n",
        b"\xff\xfe\x00\x01 \x80\n\xc3\xa9 \xed\xb2\x80\r\n",
        BLOCK_LIST,
        b"",
    ],
    ids=["Latin-1", "any bytes", "a block list", "empty"],
)
@pytest.mark.parametrize("mount", [True, False])
def test_any_bytes_and_any_size_are_kept(tmp_path: Path, before: bytes, mount: bool) -> None:
    path = tmp_path / "hosts"
    path.write_bytes(before)
    path.chmod(0o640)
    found = HostsFile(before.decode(errors="surrogateescape"), path=str(path), is_mount=mount)
    inode = path.stat().st_ino
    assert run(found, tmp_path) == ["write /etc/hosts: our entry is missing"]
    assert path.read_bytes() == before + OURS.encode()
    assert (path.stat().st_ino == inode, path.stat().st_mode & 0o777) == (mount, 0o640)
    assert [each.name for each in tmp_path.iterdir()] == ["hosts"]


def test_the_target_of_a_symbolic_link_is_rewritten_and_the_link_stays(tmp_path: Path) -> None:
    """The fact names the target."""
    target = tmp_path / "store"
    target.mkdir()
    (target / "hosts").write_text(USERS)
    link = tmp_path / "hosts"
    link.symlink_to("store/hosts")
    run(HostsFile(USERS, path=str(target / "hosts")), tmp_path)
    assert (link.readlink(), link.read_text()) == (Path("store/hosts"), USERS + OURS)


def test_a_file_that_is_missing_is_made(tmp_path: Path) -> None:
    run(HostsFile(path=str(tmp_path / "hosts")), tmp_path)
    assert (tmp_path / "hosts").read_text() == OURS
    assert (tmp_path / "hosts").stat().st_mode & 0o777 == 0o644


def test_a_file_that_cannot_be_written_is_a_conflict_unless_it_has_the_entry() -> None:
    found = HostsFile(USERS, path="/nix/store/x-hosts", writable=False)
    with pytest.raises(Conflict) as stop:
        hosts_file.steps(found, "192.168.1.10", NAMES)
    assert (stop.value.problem, stop.value.remedy) == (
        "/etc/hosts (/nix/store/x-hosts) is read-only, or in a folder that is not root's: our entry cannot be written",
        "add 192.168.1.10 registry.homelab.local images.homelab.local where that system makes it "
        "(NixOS: networking.hosts), set registry_manage_hosts_file = False, and run again",
    )
    assert hosts_file.steps(found, None, NAMES) == []


TEMPLATE = "## template:jinja\n{#\nThis file is only utilized if enabled\n-#}\n127.0.1.1 {{fqdn}} {{hostname}}\n# \udcfc\n"


def test_what_cloud_init_makes_the_file_from_gets_the_entry_too(tmp_path: Path) -> None:
    template, path = tmp_path / "hosts.debian.tmpl", tmp_path / "hosts"
    template.write_bytes(TEMPLATE.encode(errors="surrogateescape"))
    path.write_text(USERS)
    found = HostsFile(USERS, path=str(path), template=str(template), template_text=TEMPLATE)
    assert run(found, tmp_path) == [
        "write /etc/hosts: our entry is missing",
        f"write {template}: cloud-init makes /etc/hosts from it at each boot",
    ]
    assert template.read_bytes() == (TEMPLATE + OURS).encode(errors="surrogateescape")
    done = HostsFile(USERS + OURS, template=str(template), template_text=TEMPLATE + OURS)
    assert hosts_file.steps(done, "192.168.1.10", NAMES) == []
    assert [step.text for step in hosts_file.steps(done, None, NAMES)] == [
        "write /etc/hosts: our entry is no longer wanted",
        f"write {template}: our entry is no longer wanted",
    ]
    with pytest.raises(Conflict, match=rf"^{template} line 2 gives images.homelab.local another address"):
        hosts_file.steps(
            HostsFile(OURS, template=str(template), template_text="x\n1.2.3.4 images.homelab.local\n"),
            "192.168.1.10",
            NAMES,
        )
