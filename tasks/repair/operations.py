"""Repair what is damaged: find it, bring what a backup has whole, and put it in; the rest can be pushed again."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.facts import get_fact
from pyinfra.api.operation import operation

from tasks.backup import plan as backup
from tasks.backup.context import BackupContext
from tasks.backup.facts import BackupHost, BackupHostFact
from tasks.backup.layout import PARTIAL
from tasks.backup.operations import read_source, wait_for, wait_for_source
from tasks.registry import storage
from tasks.registry.containers import UID
from tasks.remote.steps import Conflict, Step
from tasks.repair import copies, damage, links, scripts
from tasks.repair.copies import CopiesFact
from tasks.repair.damage import Copy, Found
from tasks.run import output
from tasks.run.apply import AnyStep, RemoteStep, apply_steps, read_fact
from tasks.run.context import Run
from tasks.storage.facts import StorageFact
from tasks.storage.hashing import MANIFEST_SIZE, HashFact, Part
from tasks.storage.stored import Stored


@dataclass
class RepairContext:
    """What a repair knows. `copies` has by digest a backup with a whole copy, `hosts` those that have one.

    `asked` are the hosts whose backups were looked at.
    """

    found: Found = field(default_factory=lambda: Found((), {}))
    copies: dict[str, Copy] = field(default_factory=dict)
    hosts: dict[str, BackupHost] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)

    @property
    def wanted(self) -> list[str]:
        """The digests of damaged blobs that no backup is known to have."""
        return [each.digest for each in self.found.damages if each.digest not in self.copies]

    def of(self, name: str | None) -> dict[str, Copy]:
        """Return the copies on a host, or in the registry host's own folder."""
        return {digest: copy for digest, copy in self.copies.items() if copy.host == name}


@operation()
def look() -> Generator[PyinfraCommand, None, None]:
    """Find what is damaged on the registry host, and what of it the backups in its own folder have."""
    yield from apply_steps(host, _look, "no data is damaged")


def _look(run: Run) -> list[AnyStep]:
    context, settings = run.part(RepairContext), run.configuration.settings
    run.part(BackupContext).source = source = read_source(run)
    path = settings.registry_storage_path
    if not source.deployed:
        raise Conflict("there is no registry on this host yet", "run make deploy first")
    storage.locate(path, {path: source.place}, [source.record] if source.record else [])
    deep = settings.registry_repair_deep
    context.found = damage.look(partial(_read, run), partial(_hash, run, deep), deep=deep)
    if folder := settings.registry_backup_folder:
        context.copies |= _copies(context.wanted, folder, None)
    if not context.found.damages:
        return []
    steps: list[AnyStep] = [*backup.install(source.missing, run.machines[host.name].family)]
    run.part(BackupContext).key = source.key or ""
    if run.configuration.backup_hosts and (step := backup.make_key(source)):
        steps.append(RemoteStep(step, run.part(BackupContext).keep_key))
    return steps


def _read(run: Run) -> Stored:
    """Read what is stored now. No earlier answer is used."""
    folder = run.configuration.settings.registry_storage_path
    with output.under_way(f"[{host.name}] see what is stored"):
        found: Stored | None = get_fact(
            host.state, host, StorageFact, kwargs={"folder": folder}, apply_failed_hosts=False
        )
    if found is None or found.problems:
        why = found.problems[0] if found else "see above"
        raise Conflict(
            f"what is stored could not be read ({why}), so nothing is repaired", "fix that and run again"
        )
    return found


def _hash(run: Run, deep: bool, part: Part, done: int, total: int) -> Mapping[str, str]:
    arguments = {
        "folder": run.configuration.settings.registry_storage_path,
        "prefixes": part.prefixes,
        "most": None if deep else MANIFEST_SIZE,
    }
    with output.under_way(f"[{host.name}] {damage.progress(done, total)}"):
        found: Mapping[str, str] | None = get_fact(
            host.state, host, HashFact, kwargs=arguments, apply_failed_hosts=False
        )
    if found is None:
        raise Conflict("the blobs could not be hashed (see above)", "fix that and run again")
    return found


def _copies(wanted: Sequence[str], folder: str, name: str | None) -> dict[str, Copy]:
    ask = partial(read_fact, host, CopiesFact, folder=folder)
    return copies.find(wanted, folder, name, lambda digests: ask(digests=digests))


@operation()
def offer() -> Generator[PyinfraCommand, None, None]:
    """Look what a host's backups have of it, and let the registry host read them."""
    yield from apply_steps(host, _offer)


def _offer(run: Run) -> list[AnyStep]:
    wait_for_source(run)
    context = run.part(RepairContext)
    if not context.wanted:
        context.asked.add(host.name)
        return []
    folder = run.configuration.hosts[host.name].registry_backup_host_folder
    whole = _copies(context.wanted, folder, host.name)
    context.asked.add(host.name)
    if not whole:
        return []
    found = read_fact(host, BackupHostFact, folder=folder, programs=["rsync", "rrsync"])
    context.hosts[host.name] = found
    context.copies |= whole
    return [
        *backup.install(found.missing, run.machines[host.name].family),
        *backup.admit(found.authorized, folder, f"-ro {folder}", run.part(BackupContext).key),
    ]


@operation()
def put_right() -> Generator[PyinfraCommand, None, None]:
    """Bring what backups have, move damaged data away, and put in what came."""
    yield from apply_steps(host, _put_right)


def _put_right(run: Run) -> list[AnyStep]:
    context, settings = run.part(RepairContext), run.configuration.settings
    damages, torn = context.found.damages, context.found.links
    path, steps = settings.registry_storage_path, list[AnyStep]()
    if torn:
        text = f"write {len(torn)} link{'s'[: len(torn) != 1]} again: left empty when the registry was killed"
        steps.append(RemoteStep(Step(text, *links.write(path, torn)), partial(_note_left, run, len(torn))))
    if not damages:
        return steps
    wait_for(run, run.configuration.backup_hosts)
    if context.hosts:
        ends = [(*backup.endpoint(found), found) for found in context.hosts.values()]
        steps.append(backup.write_known_hosts(backup.known_hosts(ends)))
        for name, (address, port, _) in zip(context.hosts, ends, strict=True):
            steps.append(
                Step(_bringing(context.of(name)), *scripts.fetch(path, context.of(name), address, port))
            )
    if (own := context.of(None)) and (folder := settings.registry_backup_folder):
        steps.append(Step(_bringing(own), *scripts.copy(path, folder, own)))
    texts = [
        f"{'put back from a backup' if each.digest in context.copies else 'move away'}: {each}"
        for each in damages
        if each.present or each.digest in context.copies
    ]
    source = run.part(BackupContext).found
    owner = source.owner or f"{UID}:{UID}"
    if texts:
        script = scripts.put_right(path, owner, [each.digest for each in damages])
        steps.append(RemoteStep(Step("\n".join(texts), *script), partial(_note, run)))
    return steps


def _note_left(run: Run, wanted: int, printed: str) -> None:
    if left := wanted - int(printed):
        run.report.note(
            host.name,
            f"{left} of these links {'were' if left > 1 else 'was'} left alone: somebody pushes there now",
        )


def _bringing(copies: Mapping[str, Copy]) -> str:
    names = sorted({str(copy) for copy in copies.values()})
    return f"bring {len(copies)} blob{'s'[: len(copies) != 1]} of {', '.join(names)}: whole there"


def _note(run: Run, printed: str) -> None:
    *lines, last = printed.splitlines() or [""]
    if last != "end":
        raise ValueError("not all of it was looked at")
    if any(line.startswith("moved|") for line in lines):
        kept = f"{run.configuration.settings.registry_storage_path}/{scripts.DAMAGED}"
        run.report.note(host.name, f"the damaged data is in {kept}: remove it there when you do not need it")


@operation()
def close() -> Generator[PyinfraCommand, None, None]:
    """Let the registry host write backups again, and no longer read them."""
    yield from apply_steps(host, _close)


def _close(run: Run) -> list[AnyStep]:
    if host.name not in run.part(RepairContext).hosts or not host.state.is_executing:
        return []
    folder = run.configuration.hosts[host.name].registry_backup_host_folder
    found = read_fact(host, BackupHostFact, folder=folder, programs=["rsync", "rrsync"])
    return [*backup.admit(found.authorized, folder, f"-wo {folder}/{PARTIAL}", run.part(BackupContext).key)]


@operation()
def prove() -> Generator[PyinfraCommand, None, None]:
    """Look again at what was damaged, and say what has to be pushed again."""
    yield from apply_steps(host, _prove)


def _prove(run: Run) -> list[AnyStep]:
    context, settings = run.part(RepairContext), run.configuration.settings
    if not host.state.is_executing or not (context.found.damages or context.found.others):
        return []
    again = damage.look(partial(_read, run), partial(_hash, run, False), deep=False)
    whole = [tag for tag in context.found.tags if tag not in again.tags]
    if whole:
        run.report.note(host.name, f"can be pulled again: {damage.names(whole)}")
    if again.tags:
        program = settings.registry_backup_program
        unread = [name for name in run.configuration.backup_hosts if name not in context.asked]
        if unread:
            where = (
                f", or have {', '.join(unread)} answer, which may have backups of it, and make repair again"
            )
        else:
            where = f", or make restore FROM=/PATH, with what {program} kept there" if program else ""
        run.report.problem(
            host.name,
            f"cannot be pulled ({len(again.tags)}): {damage.names(again.tags)}; no backup that was read has what is "
            "missing",
            f"push them again: clients send what is missing{where}",
        )
    return []
