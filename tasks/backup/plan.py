"""What a backup needs of the hosts, as steps, and what keeps it from being made."""

from __future__ import annotations

import datetime as dt
import re
import shlex
from collections.abc import Iterable, Sequence

from tasks.backup import scripts
from tasks.backup.facts import BackupHost, Shelf, SourceHost
from tasks.backup.generations import CLOCK_TOLERANCE, FORM, time_of
from tasks.backup.layout import BEGUN, HOME, KEYS, KNOWN_HOSTS, PARTIAL, USER
from tasks.registry import address, storage
from tasks.remote import files
from tasks.remote.files import File
from tasks.remote.steps import Conflict, Step
from tasks.settings.load import Settings


def check_source(found: SourceHost, settings: Settings, deploy: str) -> None:
    """Raise `Conflict` if the images cannot be backed up from this host. `deploy` is the command that deploys."""
    path = settings.registry_storage_path
    if not found.deployed:
        raise Conflict("there is no registry on this host yet", f"run {deploy} first")
    storage.locate(path, {path: found.place}, [found.record] if found.record else [])
    if found.place.repositories is None and not found.record:
        raise Conflict(f"there are no images in {path}", f"run {deploy} first")


def check_own(found: SourceHost, target: str, settings: Settings) -> None:
    """Raise `Conflict` if the registry host's own folder or program for backups is none."""
    program, folder = settings.registry_backup_program, settings.registry_backup_folder
    if target == program and not found.program:
        raise Conflict(
            f"registry_backup_program {program} is no program on this host",
            "put it there, or correct the setting",
        )
    if target == folder and found.shelf and found.shelf.device == found.device:
        raise Conflict(
            f"registry_backup_folder {folder} is on the file system of the images, and is lost with it",
            f"mount another disk there (findmnt -T {folder} shows what is), or choose a folder on one",
        )


def check_shelf(folder: str, shelf: Shelf, storage_id: str, now: dt.datetime, *, used: bool) -> None:
    """Raise `Conflict` if a folder is not the one with this registry's backups. `used`: it had some before.

    `now` is when the run began. A backup that is later would be taken for the newest until that time has come.
    """
    others = [each.name for each in shelf.backups if each.storage != storage_id]
    if others:
        raise Conflict(
            f"{folder} has backups of another registry, or of this one before its images were lost: {others[-1]}",
            "give this one another folder (registry_backup_host_folder, registry_backup_folder), or move those away, "
            "and run again",
        )
    if used and not shelf.backups and not shelf.begun:
        raise Conflict(
            f"{folder} had backups, and has none now",
            f"mount its disk (findmnt -T {folder} shows what is there) and run again; or, to begin with none, on that "
            f"host: mkdir -p {folder} && touch {folder}/{BEGUN}",
        )
    if shelf.latest and time_of(shelf.latest.name) > now + CLOCK_TOLERANCE:
        name = shelf.latest.name
        raise Conflict(
            f"{folder} has the backup {name} (UTC), and this machine's clock says {now:{FORM}}: one was wrong",
            "set the clock (timedatectl set-ntp true) and run again; or, if it is right now and was ahead then, on "
            f"that host: mv {folder}/{name} {folder}/{now:{FORM}}.ahead",
        )


def install(missing: Iterable[str], family: str) -> list[Step]:
    """Return the step that installs programs; `Conflict` if this host's distribution is none we know."""
    missing = sorted(missing)
    if not missing:
        return []
    if "debian" not in family.split():
        raise Conflict(
            f"{', '.join(missing)} is missing here", "install rsync (with rrsync) and an SSH client there"
        )
    return [Step(f"install {', '.join(missing)}: backups need it", scripts.install(missing))]


def check_name(name: str, now: dt.datetime) -> str:
    """Return the name of a backup that the registry host printed; `ValueError` if it is none of about now.

    One from the future would be the newest for long, and let others be removed.
    """
    if abs(time_of(name) - now) > 2 * CLOCK_TOLERANCE:
        raise ValueError(f"it says that it began at {name} (UTC), and this machine's clock says {now:{FORM}}")
    return name


def prepare_host(found: BackupHost, folder: str, key: str) -> list[Step]:
    """Return the steps that let the registry host write to a backup that was begun there, and nowhere else."""
    steps = [Step(f"add the user {USER}: backups come as this user", scripts.MAKE_USER)]
    return [
        *(steps if not found.has_user else []),
        *admit(found.authorized, folder, f"-wo {folder}/{PARTIAL}", key),
    ]


def admit(authorized: str, folder: str, bounds: str, key: str) -> list[Step]:
    """Return the step that lets the registry host's key do what rrsync's `bounds` say, and nothing else.

    `authorized` is what is in the user's authorized_keys. Lines for other folders stay.
    """
    line = f'restrict,command="rrsync {bounds}" {key}'
    others = [each for each in authorized.splitlines() if not re.search(rf' {re.escape(folder)}[/"]', each)]
    content = "".join(f"{each}\n" for each in (*others, line))
    if content == authorized:
        return []
    path = f"{HOME}/.ssh/authorized_keys"
    write = files.write(File(path, "0644", content=content), "")
    script = f"mkdir -p {HOME}/.ssh && chmod 0755 {HOME} {HOME}/.ssh || exit 1\n{write.script}"
    what = "write to" if bounds.startswith("-wo") else "read"
    text = f"let the registry host {what} {bounds[4:]}: as {USER}, and nothing else"
    return [Step(text, script, write.stdin, path=path)]


def make_key(found: SourceHost) -> Step | None:
    """Return the step that makes the SSH key for backups, which prints its public half; None if there is one."""
    if found.key:
        return None
    return Step("make an SSH key for backups: there is none yet", scripts.MAKE_KEY, path=KEYS)


def known_hosts(hosts: Sequence[tuple[str, int, BackupHost]]) -> File:
    """Return the file with the host keys of hosts that keep backups, as they were read there: address, port, host."""
    lines = [
        f"{f'[{address}]:{port}' if port != 22 else address} {key}\n"
        for address, port, host in hosts
        for key in host.keys
    ]
    return File(KNOWN_HOSTS, "0600", content="".join(lines))


def endpoint(found: BackupHost) -> tuple[str, int]:
    """Return the address and port at which other hosts reach a host's SSH server; `Conflict` if it has none."""
    if not found.ports or not found.keys:
        raise Conflict(
            "there is no SSH server here, which backups come through", "install openssh-server there"
        )
    try:
        return address.choose(found.addresses, []), found.ports[0]
    except Conflict as stop:
        raise Conflict(stop.problem, "give it a default route in your network, and run again") from None


def write_known_hosts(file: File) -> Step:
    """Return the step that writes that file."""
    write = files.write(file, "hosts that keep backups are known by their keys")
    return Step(
        write.text, f"mkdir -p -m 0700 {shlex.quote(KEYS)}\n{write.script}", write.stdin, path=file.path
    )
