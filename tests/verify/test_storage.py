"""Every tag has all that it needs, whole; with `--deep`, every byte is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import pytest

from tasks.repair import damage
from tasks.repair.copies import CopiesFact, find
from tasks.repair.damage import Copy
from tasks.settings.load import Settings
from tasks.storage.facts import StorageFact
from tasks.storage.hashing import MANIFEST_SIZE, HashFact, Part
from tasks.storage.stored import Stored
from tests.verify.backend import Host, Unreachable
from tests.verify.deployment import Deployment

SHOWN = 20


def test_every_tag_can_be_pulled(
    deployment: Deployment,
    registry: Host,
    settings: Settings,
    note: Callable[[str], None],
    request: pytest.FixtureRequest,
) -> None:
    """What is damaged, and where a backup has it whole, is said at the end, a line for each."""
    deep, folder = request.config.getoption("deep"), settings.registry_storage_path
    printer = request.config.pluginmanager.getplugin("terminalreporter")

    def read() -> Stored:
        found = registry.fact(StorageFact, folder=folder)
        assert not found.problems, f"{registry.name}: what is stored could not be read ({found.problems[0]})"
        return found

    def hash_part(part: Part, done: int, total: int) -> Mapping[str, str]:
        if deep and printer:
            printer.ensure_newline()
            printer.write_line(f"{registry.name}: {damage.progress(done, total)}")
        most = None if deep else MANIFEST_SIZE
        return registry.fact(HashFact, folder=folder, prefixes=part.prefixes, most=most)

    found = damage.look(read, hash_part, deep=deep)
    copies, unread = find_copies(deployment, registry, [each.digest for each in found.damages])
    program = settings.registry_backup_program
    looked = bool(deployment.group("backup_hosts") or settings.registry_backup_folder)
    lines = list(damage.describe(found, copies, looked=looked, program=program, unread=unread))
    for line in lines[:SHOWN]:
        note(f"{registry.name}: {line}")
    repair = f"run make repair{' DEEP=1' if deep else ''}" if found.damages else "push them again"
    assert not lines, f"{registry.name}: {damage.summary(found)}: {repair}"


def find_copies(
    deployment: Deployment, registry: Host, digests: Sequence[str]
) -> tuple[dict[str, Copy], list[str]]:
    """Return which backup has each of these blobs whole, and the hosts whose backups could not be read."""
    copies: dict[str, Copy] = {}
    unread = []

    def ask(host: Host, folder: str, digests: Sequence[str]) -> Mapping[str, str]:
        return host.fact(CopiesFact, folder=folder, digests=digests)

    def look(host: Host, folder: str, name: str | None) -> None:
        wanted = [each for each in digests if each not in copies]
        copies.update(find(wanted, folder, name, partial(ask, host, folder)))

    if digests and (own := deployment.configuration.settings.registry_backup_folder):
        look(registry, own, None)
    for name in deployment.group("backup_hosts") if digests else ():
        try:
            look(deployment.hosts.get(name), deployment.of(name).registry_backup_host_folder, name)
        except Unreachable:  # that host's own tests report it
            unread.append(name)
    return copies, unread
