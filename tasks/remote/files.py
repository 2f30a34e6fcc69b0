"""Files and folders on a host: what they should be, what they are, and the steps that make up the difference."""

from __future__ import annotations

import hashlib
import shlex
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from posixpath import basename, dirname, join

from tasks.remote.steps import Conflict, Step

NEW_SUFFIX = ".homelab-new"
"""Ends the name of a file that is being written. A file that still has it was left by a run that was killed."""


@dataclass(frozen=True)
class Folder:
    """A folder that is to exist; `mode` is octal as text ("0755"), `owner` and `group` are numeric ids."""

    path: str
    mode: str = "0755"
    owner: int = 0
    group: int = 0


@dataclass(frozen=True)
class File(Folder):
    """A text file that is to exist. `content` is kept out of the `repr`, since it may be secret."""

    content: str = field(default="", repr=False)

    @property
    def sha256(self) -> str:
        """SHA-256 of the content, in hexadecimal."""
        return hashlib.sha256(self.content.encode()).hexdigest()


@dataclass(frozen=True)
class Observed:
    """What is at a path of a host: `kind` as `stat -c %F` names it, `modified` in seconds since 1970.

    `sha256` is None for anything but a file.
    """

    kind: str
    mode: str
    owner: int
    group: int
    modified: float
    inode: int
    sha256: str | None


def write(file: File, reason: str) -> Step:
    """Return the step that writes a file of ours by one rename; if it fails, nothing has changed."""
    new = temporary(file.path)
    script = (
        f"umask 077; new={shlex.quote(new)}; trap 'rm -f \"$new\"' EXIT\n"
        f"{receive(file.content)} "
        f'&& chown {file.owner}:{file.group} "$new" && chmod {file.mode} "$new" '
        f'&& sync "$new" && mv -fT "$new" {shlex.quote(file.path)} && {sync(dirname(file.path))}'
    )
    return Step(f"write {file.path}: {reason}", script, file.content, path=file.path, writes=True)


def rewrite(path: str, content: str, reason: str, *, mode: str | None = None, first: str = "true") -> Step:
    """Return the step that replaces the content of a user's file by one rename; its owner and mode stay.

    A symbolic link is followed, and a missing file is created (0644). `mode` is set if given; the command `first` runs
    once the new file is complete and not yet in place.
    """
    script = (
        f'umask 077; file=$(readlink -f {shlex.quote(path)}) && mkdir -p "${{file%/*}}" || exit 1\n'
        f'new="${{file%/*}}/.${{file##*/}}{NEW_SUFFIX}"; trap \'rm -f "$new"\' EXIT\n'
        f"{receive(content)} || exit 1\n"
        'if [ -e "$file" ]; then chown --reference="$file" "$new" && chmod --reference="$file" "$new" || exit 1\n'
        'else chmod 0644 "$new" || exit 1; fi\n'
        + (f'chmod {mode} "$new" || exit 1\n' if mode else "")
        + f'sync "$new" && {first} && mv -fT "$new" "$file" && {{ sync "${{file%/*}}/" 2>/dev/null || sync; }}'
    )
    return Step(f"write {path}: {reason}", script, sent(content), path=path, writes=True)


def write_private(path: str, text: str, reason: str) -> Step:
    """Return the step that writes a file by one rename, so that only the user who runs the step can read it (0600)."""
    script = (
        f"umask 077; new={shlex.quote(temporary(path))}; trap 'rm -f \"$new\"' EXIT\n"
        f'{receive(text)} && sync "$new" && mv -fT "$new" {shlex.quote(path)} '
        f"&& {sync(dirname(path))}"
    )
    return Step(f"write {path}: {reason}", script, text, path=path, writes=True)


def receive(text: str) -> str:
    """Return the command that copies a text from standard input to the file `$new`, and fails if it is incomplete.

    Its length is checked, since input ends without an error if the sender dies half-way. pyinfra adds a newline to
    what it sends, which is dropped. What is to be sent is `sent(text)`.
    """
    data = text.encode(errors="surrogateescape")
    copy = f"head -c {len(data)}" if _is_utf8(text) else "base64 -d"
    return f'{copy} > "$new" && cat > /dev/null && [ "$(wc -c < "$new")" -eq {len(data)} ]'


def sent(text: str) -> str:
    """Return a text as pyinfra can send it, which sends UTF-8 alone: other bytes (PEP 383) need Base64."""
    return text if _is_utf8(text) else b64encode(text.encode(errors="surrogateescape")).decode()


def _is_utf8(text: str) -> bool:
    return not any("\udc80" <= each <= "\udcff" for each in text)


def sync(folder: str) -> str:
    """Return the command that writes a folder's entries to disk.

    A power failure would otherwise undo a rename or a removal that a run reported (fsync(2)). A file system that cannot
    do so for a folder alone writes everything.
    """
    return f"{{ sync {shlex.quote(folder)} 2>/dev/null || sync; }}"


def temporary(path: str) -> str:
    """Return the path of the temporary file, in the same folder, that becomes `path`."""
    return join(dirname(path), f".{basename(path)}{NEW_SUFFIX}")


def parent(path: str) -> str:
    """Return the folder that contains a path."""
    return dirname(path)


def observed_paths(written: Iterable[str]) -> list[str]:
    """Return what to look at before files are written: their folders, the files, and what a killed run left of them."""
    written = list(written)
    return [*dict.fromkeys(map(parent, written)), *written, *map(temporary, written)]


def place(wanted: Iterable[Folder], observed: Mapping[str, Observed | None]) -> list[Step]:
    """Return the steps that make files and folders what they should be, in the given order.

    Raises `KeyError` for a path that is not in `observed`: the fact did not ask for it.
    """
    return [step for item in wanted if (step := _place(item, observed[item.path]))]


def leftovers(observed: Mapping[str, Observed | None]) -> list[Step]:
    """Return the steps that remove unfinished files of a run that was killed."""
    return [
        Step(f"remove {path}: a run was killed while writing it", f"rm -f {shlex.quote(path)}")
        for path, found in observed.items()
        if found and path.endswith(NEW_SUFFIX)
    ]


def remove(unwanted: Iterable[str], observed: Mapping[str, Observed | None], reason: str) -> list[Step]:
    """Return the steps that remove files which exist and should not."""
    return [removal(path, reason) for path in unwanted if observed[path]]


def removal(path: str, reason: str) -> Step:
    """Return the step that removes a file."""
    return Step(f"remove {path}: {reason}", f"rm -f {shlex.quote(path)} && {sync(dirname(path))}", path=path)


def _place(item: Folder, found: Observed | None) -> Step | None:
    path = shlex.quote(item.path)
    kind = "file" if isinstance(item, File) else "folder"
    if found and kind not in found.kind.replace("directory", "folder"):
        raise Conflict(
            f"{item.path} is a {found.kind}, but this project keeps a {kind} there",
            f"move it away (mv {item.path} {item.path}.old) and run again",
        )
    if isinstance(item, File):
        if found is None:
            return write(item, "it is missing")
        if found.sha256 != item.sha256:
            return write(item, "its content is not as it should be")
    elif found is None:
        script = f"umask 077; mkdir -p {path} && chown {item.owner}:{item.group} {path} && chmod {item.mode} {path}"
        return Step(f"make {item.path}: it is missing", script, path=item.path)
    wrong = []
    if int(found.mode, 8) != int(item.mode, 8):
        wrong.append(f"its mode is {found.mode.zfill(4)}, not {item.mode}")
    if (found.owner, found.group) != (item.owner, item.group):
        wrong.append(f"it belongs to {found.owner}:{found.group}, not {item.owner}:{item.group}")
    if not wrong:
        return None
    return Step(
        f"set owner and mode of {item.path}: {', '.join(wrong)}",
        f"chown -h {item.owner}:{item.group} {path} && chmod {item.mode} {path}",
        path=item.path,
    )
