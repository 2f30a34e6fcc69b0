"""Files and folders that are wholly ours: what they should be, what they are, and the steps between."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from posixpath import basename, dirname, join

from tasks.remote.steps import Conflict, Step

NEW_SUFFIX = ".homelab-new"
"""Ends the name of a file that is being written; one that is found later belongs to a run that was killed."""


@dataclass(frozen=True)
class Folder:
    """A folder; `mode` is octal as text ("0755"), `owner` and `group` are numbers."""

    path: str
    mode: str = "0755"
    owner: int = 0
    group: int = 0


@dataclass(frozen=True)
class File(Folder):
    """A text file. `content` is kept out of the `repr`, since it may be secret."""

    content: str = field(default="", repr=False)

    @property
    def sha256(self) -> str:
        """SHA-256 of the content, in hexadecimal."""
        return hashlib.sha256(self.content.encode()).hexdigest()


@dataclass(frozen=True)
class Observed:
    """What stands at a path of a host: `kind` as `stat -c %F` names it, `modified` in seconds since 1970."""

    kind: str
    mode: str
    owner: int
    group: int
    modified: float
    inode: int
    sha256: str | None


def write(file: File, reason: str) -> Step:
    """Return the step that puts a file into place by one rename, or leaves everything as it was."""
    new = temporary(file.path)
    script = (
        f"umask 077; new={shlex.quote(new)}; trap 'rm -f \"$new\"' EXIT\n"
        f"{receive(file.content)} "
        f'&& chown {file.owner}:{file.group} "$new" && chmod {file.mode} "$new" '
        f'&& sync "$new" && mv -fT "$new" {shlex.quote(file.path)}'
    )
    return Step(f"write {file.path}: {reason}", script, file.content, path=file.path, writes=True)


def rewrite(path: str, content: str, reason: str, *, mode: str | None = None, first: str = "true") -> Step:
    """Return the step that gives a file of the user's a new content by one rename, its owner and mode kept.

    A link stays one, a missing file is made (0644). `mode` is set where it is given; `first` is a command that runs
    when the new file is whole and not yet in place.
    """
    script = (
        f'umask 077; file=$(readlink -f {shlex.quote(path)}) && mkdir -p "${{file%/*}}" || exit 1\n'
        f'new="${{file%/*}}/.${{file##*/}}{NEW_SUFFIX}"; trap \'rm -f "$new"\' EXIT\n'
        f"{receive(content)} || exit 1\n"
        'if [ -e "$file" ]; then chown --reference="$file" "$new" && chmod --reference="$file" "$new" || exit 1\n'
        'else chmod 0644 "$new" || exit 1; fi\n'
        + (f'chmod {mode} "$new" || exit 1\n' if mode else "")
        + f'sync "$new" && {first} && mv -fT "$new" "$file"'
    )
    return Step(f"write {path}: {reason}", script, content, path=path, writes=True)


def write_private(path: str, text: str, reason: str) -> Step:
    """Return the step that gives a file a new text by one rename; it is then the writing user's alone (0600)."""
    script = (
        f"umask 077; new={shlex.quote(temporary(path))}; trap 'rm -f \"$new\"' EXIT\n"
        f'{receive(text)} && sync "$new" && mv -fT "$new" {shlex.quote(path)}'
    )
    return Step(f"write {path}: {reason}", script, text, path=path, writes=True)


def receive(text: str) -> str:
    """Return the command that takes a text from standard input into the file `$new`, whole or with an error.

    The length is compared, since an input ends without an error when the sender dies half-way. pyinfra ends what it
    sends with a newline, which is not taken where the text has none.
    """
    size = len(text.encode())
    return f'head -c {size} > "$new" && cat > /dev/null && [ "$(wc -c < "$new")" -eq {size} ]'


def temporary(path: str) -> str:
    """Return the name beside `path` under which a new version of it is written."""
    return join(dirname(path), f".{basename(path)}{NEW_SUFFIX}")


def parent(path: str) -> str:
    """Return the folder that a path stands in."""
    return dirname(path)


def place(wanted: Iterable[Folder], observed: Mapping[str, Observed | None]) -> list[Step]:
    """Return the steps that bring files and folders from what was observed to what is wanted, folders first.

    A path that is missing in `observed` was not asked for, which is a mistake: `KeyError`.
    """
    return [step for item in wanted if (step := _place(item, observed[item.path]))]


def leftovers(observed: Mapping[str, Observed | None]) -> list[Step]:
    """Return the steps that remove files which a killed run left half-written."""
    return [
        Step(f"remove {path}: a run was killed while writing it", f"rm -f {shlex.quote(path)}")
        for path, found in observed.items()
        if found and path.endswith(NEW_SUFFIX)
    ]


def remove(unwanted: Iterable[str], observed: Mapping[str, Observed | None], reason: str) -> list[Step]:
    """Return the steps that remove files which are there and should not be."""
    return [
        Step(f"remove {path}: {reason}", f"rm -f {shlex.quote(path)}", path=path)
        for path in unwanted
        if observed[path]
    ]


def _place(item: Folder, found: Observed | None) -> Step | None:
    path = shlex.quote(item.path)
    kind = "file" if isinstance(item, File) else "folder"
    if found and kind not in found.kind.replace("directory", "folder"):
        raise Conflict(
            f"{item.path} is a {found.kind}, where this project keeps a {kind}",
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
