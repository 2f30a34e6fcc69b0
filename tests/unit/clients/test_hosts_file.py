from __future__ import annotations

import pytest

from tasks.clients import hosts_file
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
        ("1.2.3.4 old.name # homelab-registry\n" + USERS, OURS + USERS),
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
    found = hosts_file.steps(text, "192.168.1.10", NAMES, is_mount=mount, rescue=rescue)
    return [f"{step.text} <- {step.stdin!r}" for step in found]


def test_the_step_names_the_reason() -> None:
    assert steps(USERS + OURS) == []
    assert steps(USERS) == [f"write /etc/hosts: our entry is missing <- {USERS + OURS!r}"]
    assert steps("1.2.3.4 x # homelab-registry\n") == [
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
