"""What all facts share: shell functions that report paths and texts, and a reader that rejects incomplete output.

A fact's output ends with the line `end`. Without it, the output was cut short: what is missing is unknown, not absent.
"""

from __future__ import annotations

import shlex
from base64 import b64decode
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar

from pyinfra.api.exceptions import FactProcessError
from pyinfra.api.facts import FactBase

from tasks.remote.files import Observed
from tasks.settings.redact import printable

# One stat and one sha256sum for all paths: on a small machine starting programs is most of what a fact costs.
# sha256sum begins a line with a backslash if it had to escape the file's name.
PREAMBLE = """
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
emit_status() {
    for path; do
        shift
        if [ -e "$path" ] || [ -L "$path" ]; then set -- "$@" "$path"; else printf 'path|%s\\n' "$path"; fi
    done
    [ $# -eq 0 ] || stat -c 'path|%n|%F|%a|%u|%g|%.9Y|%i' -- "$@" || exit 1
}
emit_paths() {
    emit_status "$@"
    for path; do
        shift
        if [ -f "$path" ]; then set -- "$@" "$path"; fi
    done
    [ $# -gt 0 ] || return 0
    sums=$(sha256sum -- "$@") || exit 1
    while IFS= read -r sum; do
        sum=${sum#\\\\}
        printf 'sum|%s|%s\\n' "$1" "${sum%% *}"
        shift
    done <<END
$sums
END
}
emit_paths_in() {
    folder=$1
    shift
    for path; do
        shift
        set -- "$@" "$folder$path"
    done
    emit_paths "$@"
}
encode() {
    if [ "$(wc -c < "$1")" -gt 1048576 ]; then
        printf '%s is larger than 1 MiB\\n' "$1" >&2
        exit 1
    fi
    base64 -w 0 < "$1"
}
emit_text() {
    [ -f "$1" ] || return 0
    text=$(encode "$1") || exit 1
    printf 'text|%s|%s\\n' "$1" "$text"
}
"""


F = TypeVar("F", bound=FactBase[Any])


def fail_host_on_bad_output(fact: type[F]) -> type[F]:
    """Make a fact fail for its host alone (`FactProcessError`) if its output cannot be parsed.

    The message does not quote the output, which may hold secrets.
    """
    read = fact.process

    @wraps(read)
    def process(self: FactBase[Any], output: list[str]) -> Any:
        try:
            return read(self, output)
        except (ValueError, LookupError, TypeError):
            raise FactProcessError("the answer is malformed") from None

    fact.process = process  # type: ignore[method-assign]
    return fact


@dataclass(frozen=True)
class Answer:
    """The lines `key|field|field…` that a script printed, by key."""

    lines: dict[str, list[list[str]]] = field(default_factory=dict)

    def one(self, key: str) -> str | None:
        """Return what follows a key that occurs at most once, or None."""
        return "|".join(self.lines[key][0]) if key in self.lines else None

    def all(self, key: str) -> list[list[str]]:
        """Return the fields of all lines with a key."""
        return self.lines.get(key, [])

    @property
    def paths(self) -> dict[str, Observed | None]:
        """What is at each requested path, None if there is nothing."""
        sums = dict(self.all("sum"))
        return {path: _observed(fields, sums.get(path)) for path, *fields in self.all("path")}

    @property
    def texts(self) -> dict[str, str]:
        """The text of each requested file that exists; `FactProcessError` if one is not UTF-8."""
        encoded = (("|".join(path), text) for *path, text in self.all("text"))
        return {path: decode(path, text) for path, text in encoded}


def read_answer(output: Iterable[str]) -> Answer:
    """Parse a fact's output; `FactProcessError` if its last line is not `end`."""
    *lines, last = [line for line in output if line] or [""]
    if last != "end":
        raise FactProcessError("the answer was cut short")
    found = defaultdict(list)
    for line in lines:
        key, *fields = line.split("|")
        found[key].append(fields)
    return Answer(dict(found))


def script(*parts: str) -> str:
    """Return a fact's script. If a command in it fails, it prints only that command's error message.

    pyinfra prints the output of a failed fact, and users' files may hold secrets.
    """
    body = "\n".join(parts)
    return f"{PREAMBLE}answer=$(\n{body}\n:) || exit 1\nprintf '%s\\n' \"$answer\"\necho end\n"


def emit_paths(paths: Iterable[str]) -> str:
    """Return the shell lines that report what is at each path."""
    return f"emit_paths {shlex.join(paths)}"


def decode(path: str, text: str) -> str:
    """Decode a file's text from Base64; `FactProcessError` if it is not UTF-8."""
    try:
        return b64decode(text).decode()
    except UnicodeDecodeError:
        raise FactProcessError(f"{printable(path)} is not UTF-8 text") from None


def _observed(fields: list[str], sha256: str | None) -> Observed | None:
    if not fields:
        return None
    kind, mode, owner, group, modified, inode = fields
    return Observed(kind, mode, int(owner), int(group), float(modified), int(inode), sha256)
