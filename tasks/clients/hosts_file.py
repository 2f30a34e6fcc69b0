"""`/etc/hosts`: our one line in a file that belongs to the user.

`.local` names belong to multicast DNS (RFC 6762), and a name server at home may not know them. An entry always works.
What cloud-init makes the file from gets the entry too; `tasks.clients.hosts_makers` knows who else makes it.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from tasks.remote import files
from tasks.remote.source_lines import split_lines
from tasks.remote.steps import Conflict, Step

PATH = "/etc/hosts"
MARK = "# homelab-registry"
RESCUE = "/etc/.hosts.homelab-rescue"

_WORD = re.compile(r"[^ \t\n\v\f\r]+")
"""What glibc takes for a word (nss/nss_files/files-parse.c, `isspace`); Python also splits at, say, U+00A0."""


@dataclass(frozen=True)
class HostsFile:
    """`/etc/hosts` as it is; bytes of it that are not UTF-8 are surrogates (PEP 383).

    `path` is where it is if it is a symbolic link, as on NixOS. If it `is_mount`, as in a container, it cannot be
    renamed over (EBUSY) and is written in place; `rescue` is what a killed run left beside it. `is_engine_s` says that
    a container's engine makes it. Only if it is `writable`, in a folder of root's, can it be changed.

    `template` is the file that cloud-init makes it from at each boot, "" if it does not; `template_text` its text.
    `wsl_keeps` says that wsl.conf tells WSL not to make it.
    """

    text: str = ""
    path: str = PATH
    is_mount: bool = False
    rescue: str | None = None
    is_engine_s: bool = False
    writable: bool = True
    template: str = ""
    template_text: str = ""
    wsl_keeps: bool = False


def merge(text: str, address: str | None, names: Iterable[str], path: str = PATH) -> str:
    """Return the text with exactly one line of ours, in its place or at the end, and every other byte unchanged.

    `address` None removes our line. Raises `Conflict`, quoting the line, if one of the user's gives a name of ours
    another address, or a loopback address even if `address` is None. Messages name the file `path`.
    """
    names = list(names)
    ours = f"{address} {' '.join(names)} {MARK}\n" if address and names else ""
    lines: list[str] = []
    placed = False
    for number, line in enumerate(split_lines(text), 1):
        if line.rstrip().endswith(MARK):
            if _is_another_registry_s(line, f"{path} line {number}", address, names):
                lines.append(line)
                continue
            lines += [] if placed else [ours]
            placed = True
            continue
        _check(line, f"{path} line {number}", address, names)
        lines.append(line)
    if not placed and ours:
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += "\n"
        lines.append(ours)
    return "".join(lines)


def steps(found: HostsFile, address: str | None, names: Iterable[str]) -> list[Step]:
    """Return the steps that write our entry (`address` None: remove it), or none; `Conflict` if it cannot be written.

    A kill can interrupt a write in place. So the new text is written beside the file first (`rescue`), and the next run
    starts from there.
    """
    names, text, rescue = list(names), found.text, found.rescue
    interrupted = rescue is not None and rescue.startswith(text)
    wanted = merge(rescue if interrupted and rescue else text, address, names)
    taken = _template(found, address, names)
    if text == wanted:
        if rescue is None:
            return taken
        return [Step(f"remove {RESCUE}: a run was killed while writing {PATH}", f"rm -f {RESCUE}"), *taken]
    if not found.writable:
        where = "" if found.path == PATH else f" ({found.path})"
        raise Conflict(
            f"{PATH}{where} is read-only, or in a folder that is not root's: our entry cannot be written",
            f"add {address} {' '.join(names)} where that system makes it (NixOS: networking.hosts), "
            "set registry_manage_hosts_file = False, and run again",
        )
    reason = "a run was killed while writing it" if interrupted and text else _reason(text, wanted)
    script = _write(found, wanted)
    return [Step(f"write {PATH}: {reason}", script, files.sent(wanted), path=PATH, writes=True), *taken]


def _reason(text: str, wanted: str) -> str:
    if MARK not in wanted:
        return "our entry is no longer wanted"
    return "our entry is not as it should be" if MARK in text else "our entry is missing"


def _write(found: HostsFile, wanted: str) -> str:
    path = shlex.quote(found.path)
    script = (
        f'umask 077; file={path}; new="$file{files.NEW_SUFFIX}"; trap \'rm -f "$new"\' EXIT\n'
        f"{files.receive(wanted)} || exit 1\n"
        'if [ -e "$file" ]; then chmod --reference="$file" "$new" && chown --reference="$file" "$new" || exit 1\n'
        'else chmod 0644 "$new" || exit 1; fi\n'
        'sync "$new" && '
    )
    if found.is_mount:
        return script + f'mv -f "$new" {RESCUE} && cat {RESCUE} > "$file" && sync "$file" && rm -f {RESCUE}'
    folder = files.sync(files.parent(found.path))
    return script + f'mv -fT "$new" "$file" && rm -f {RESCUE} && {folder}'


def _template(found: HostsFile, address: str | None, names: list[str]) -> list[Step]:
    """Return the step that writes our entry into what cloud-init makes the file from (cc_update_etc_hosts)."""
    wanted = merge(found.template_text, address, names, found.template)
    if not found.template or wanted == found.template_text:
        return []
    reason = (
        "cloud-init makes /etc/hosts from it at each boot" if address else "our entry is no longer wanted"
    )
    return [files.rewrite(found.template, wanted, reason)]


def _is_another_registry_s(line: str, where: str, address: str | None, names: list[str]) -> bool:
    """Return whether a marked line was written for another registry, by the run of another inventory.

    A registry that was renamed has its address still, one that moved a name. Raises `Conflict` if ours would go there
    (`address` is not None): this machine would not find the other one any more.
    """
    found, *others = _WORD.findall(line.partition("#")[0]) or [""]
    if not others or found == address or set(others) & set(names):
        return False
    if address:
        raise Conflict(
            f"{where} is the entry of another registry, {others[0]}, and a machine can have one: {line.strip()!r}",
            "take this host out of one of the two inventories, or remove that line if that registry is gone; run again",
        )
    return True


def _check(line: str, where: str, address: str | None, names: list[str]) -> None:
    """Raise `Conflict` for a line of the user's that gives a name of ours another address.

    If the file is not ours to manage (`address` None), only a loopback address is a conflict: Docker checks no
    certificate there, even if the name has another address too (moby before 29.8.2, CVE-2026-92543).
    """
    fields = _WORD.findall(line.partition("#")[0])
    taken = [name for name in fields[1:] if name.lower() in names]
    if not taken:
        return
    try:
        found = ipaddress.ip_address(fields[0].partition("%")[0])
    except ValueError:
        found = None
    if found and (getattr(found, "ipv4_mapped", None) or found).is_loopback:
        raise Conflict(
            f"{where} gives {taken[0]} the loopback address {fields[0]}, where Docker checks no "
            f"certificate: {line.strip()!r}",
            "take the name out of that line and run again",
        )
    if address and found != ipaddress.ip_address(address):
        raise Conflict(
            f"{where} gives {taken[0]} another address than {address}: {line.strip()!r}",
            f"remove that line, or set registry_address to {fields[0]} if it is right, and run again",
        )
