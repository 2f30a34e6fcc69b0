"""Free space for images, and clocks that agree."""

from __future__ import annotations

from collections.abc import Callable

from tasks.registry import desired as layout
from tasks.registry import keeper, storage, usage
from tasks.registry.usage import GIB
from tasks.remote.fact_scripts import read_answer
from tasks.settings.load import Settings
from tasks.state.store import Store
from tests.verify.backend import Host

MINUTES = 10


def check_space(host: Host, path: str, remedy: str) -> None:
    """Assert that the file system of a path is not about to be full."""
    *_, line = host.output("df -P -k %s", path).splitlines()
    total, _, free = (int(field) * 1024 for field in line.split()[1:4])
    assert not usage.is_nearly_full(total, free), (
        f"{host.name}: only {free / GIB:.1f} GiB of {total / GIB:.1f} are free at {path}; {remedy}"
    )
    *_, line = host.output("df -P -i %s", path).splitlines()
    # A file system without a fixed number of inodes reports 0 or -.
    files, free_files = (int(field) if field.isdigit() else 0 for field in line.split()[1:4:2])
    assert free_files >= files * 0.05, (
        f"{host.name}: only {free_files} of {files} files (inodes) are free at {path}; {remedy}"
    )


def check_clock(host: Host) -> None:
    """Assert that a host's clock agrees with this machine's."""
    minutes = round(host.machine.ahead / 60)
    assert abs(minutes) < MINUTES, (
        f"{host.name}: its clock is {abs(minutes)} minutes {'ahead' if minutes > 0 else 'behind'}; "
        "certificates are rejected if that goes on: run timedatectl set-ntp true there"
    )


def test_there_is_room_for_images(registry: Host, settings: Settings) -> None:
    check_space(registry, settings.registry_storage_path, "delete images, or give it a larger disk")


def test_storage_is_below_its_limit(
    registry: Host, settings: Settings, store: Store, note: Callable[[str], None]
) -> None:
    path = settings.registry_storage_path
    told = registry.output(f"{storage.LOOK}\n{usage.look(path, layout.FOLDER)}\ntrue").splitlines()
    found = usage.read(read_answer([*told, "end"]))
    said = usage.summarize(settings, found, store.read_history())
    assert said.level not in {"full", "unknown"}, f"{registry.name}: storage: {said.text}"
    assert not settings.storage_limit or (found and found.measured), (
        f"{registry.name}: nobody has measured the storage yet; see docker logs {keeper.NAME} there, and run make deploy"
    )
    if said.text:
        note(f"Storage on {registry.name}: {said.text}")


def test_the_registry_host_knows_the_time(registry: Host) -> None:
    check_clock(registry)
