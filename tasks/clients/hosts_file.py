"""`/etc/hosts`: our one line in a file that belongs to the user.

`.local` names belong to multicast DNS (RFC 6762), and a name server at home may not know them. An entry always works.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from tasks.remote import files
from tasks.remote.steps import Conflict, Step

PATH = "/etc/hosts"
MARK = "# homelab-registry"
RESCUE = "/etc/.hosts.homelab-rescue"


def merge(text: str, address: str | None, names: Iterable[str]) -> str:
    """Return the text with exactly one line of ours, in its place or at the end, and every other byte unchanged.

    `address` None removes our line. Raises `Conflict`, quoting the line, if one of the user's gives a name of ours
    another address, or a loopback address even if `address` is None.
    """
    names = list(names)
    ours = f"{address} {' '.join(names)} {MARK}\n" if address and names else ""
    lines: list[str] = []
    placed = False
    for number, line in enumerate(re.findall(r"[^\n]*\n|[^\n]+", text), 1):
        if line.rstrip().endswith(MARK):
            lines += [] if placed else [ours]
            placed = True
            continue
        _check(line, number, address, names)
        lines.append(line)
    if not placed and ours:
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += "\n"
        lines.append(ours)
    return "".join(lines)


def steps(
    text: str, address: str | None, names: Iterable[str], *, is_mount: bool, rescue: str | None
) -> list[Step]:
    """Return the steps that write our entry (`address` None: remove it), or none.

    A file that is a mount can only be written in place, and a kill can interrupt that. So the new text is written
    beside it first (`rescue`), and the next run starts from there.
    """
    interrupted = rescue is not None and rescue.startswith(text)
    wanted = merge(rescue if interrupted and rescue else text, address, names)
    if text == wanted:
        if rescue is None:
            return []
        return [Step(f"remove {RESCUE}: a run was killed while writing {PATH}", f"rm -f {RESCUE}")]
    script = (
        f"umask 077; new={PATH}.homelab-new; trap 'rm -f \"$new\"' EXIT\n"
        f"{files.receive(wanted)} "
        f'&& chmod --reference={PATH} "$new" && chown --reference={PATH} "$new" && sync "$new" && '
    )
    if is_mount:
        script += f'mv -f "$new" {RESCUE} && cat {RESCUE} > {PATH} && sync {PATH} && rm -f {RESCUE}'
    else:
        script += f'mv -fT "$new" {PATH} && rm -f {RESCUE} && {files.sync("/etc")}'
    if interrupted and text:
        reason = "a run was killed while writing it"
    elif MARK not in wanted:
        reason = "our entry is no longer wanted"
    else:
        reason = "our entry is not as it should be" if MARK in text else "our entry is missing"
    return [Step(f"write {PATH}: {reason}", script, wanted, path=PATH, writes=True)]


def _check(line: str, number: int, address: str | None, names: list[str]) -> None:
    """Raise `Conflict` for a line of the user's that gives a name of ours another address.

    If the file is not ours to manage (`address` None), only a loopback address is a conflict: Docker checks no
    certificate there, even if the name has another address too (moby before 29.8.2, CVE-2026-92543).
    """
    fields = line.partition("#")[0].split()
    taken = [name for name in fields[1:] if name.lower() in names]
    if not taken:
        return
    try:
        found = ipaddress.ip_address(fields[0].partition("%")[0])
    except ValueError:
        found = None
    if found and (getattr(found, "ipv4_mapped", None) or found).is_loopback:
        raise Conflict(
            f"{PATH} line {number} gives {taken[0]} the loopback address {fields[0]}, where Docker checks no "
            f"certificate: {line.strip()!r}",
            "take the name out of that line and run again",
        )
    if address and found != ipaddress.ip_address(address):
        raise Conflict(
            f"{PATH} line {number} gives {taken[0]} another address than {address}: {line.strip()!r}",
            f"remove that line, or set registry_address to {fields[0]} if it is right, and run again",
        )
