"""Read strace's output: which secrets were in arguments, in environments, or in files that others may read."""

from __future__ import annotations

import copy
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from posixpath import join, normpath

CALLS = (
    "execve,execveat,open,openat,creat,write,pwrite64,writev,pwritev,sendfile,copy_file_range,chmod,fchmod,fchmodat,"
    "rename,renameat,renameat2,unlink,unlinkat,umask,clone,clone3,fork,vfork"
)
# Dropped, because they are hundreds of megabytes: writes to pipes and sockets.
DROPPED = r"^[0-9]+ +(p?writev?|pwrite64)\([0-9]+<(pipe:|socket:)"

OPTIONS = "-f -qq -y -v -s 65536"

STRING = r'"(?:[^"\\]|\\.)*"'
PATH = re.compile(rf"(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?({STRING})")
OPEN_FILE = re.compile(r"\d+<(/[^>]*)>")


def strace(file: str, command: str) -> str:
    """Return the shell command that runs a command and writes its trace to a file."""
    return f"strace {OPTIONS} --seccomp-bpf -e trace={CALLS} -o '|LC_ALL=C grep -avE \"{DROPPED}\" > {file}' {command}"


def strace_of(file: str, process: str) -> str:
    """Return the shell command that traces a running process and all its future children to a file."""
    return f"strace {OPTIONS} -e trace={CALLS} -o {file} -p {process}"


def forms(secret: str) -> set[str]:
    """Return a secret as it is, and its base64 forms at each of the three offsets in a longer text."""
    data, found = secret.encode(), {secret}
    for before in range(3):
        text = b64encode(bytes(before) + data).decode()
        piece = text[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        found |= {piece, piece.replace("+", "-").replace("/", "_")}
    return found


class Needles:
    """The forms of all secrets; `secrets` maps each to a name, and only names are ever printed."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self.names = {form: name for secret, name in secrets.items() for form in forms(secret)}

    def within(self, text: str) -> set[str]:
        """Return the names of the secrets in a text."""
        return {name for form, name in self.names.items() if form in text}


@dataclass
class _Process:
    """What a process passes on to its children; threads share it."""

    umask: int = 0o022
    folder: str = "/"


class Reader:
    """Follows the secrets through traces, read in order; `exposed` and `wide` list what should not happen."""

    def __init__(self, needles: Needles) -> None:
        self.needles = needles
        self.executions = 0
        self.exposed: list[str] = []
        """Programs with a secret in arguments or environment, and those whose arguments strace cut short."""
        self.wide: list[str] = []
        """Files that contained a secret while others could read them."""
        self.holders: dict[str, set[str]] = {}
        """The secrets that were written to each path."""
        self._modes: dict[str, int] = {}

    def read(self, lines: Iterable[str]) -> None:
        """Read the trace of one command."""
        calls = list(_calls(lines))
        self._born = {
            int(result): (pid, "CLONE_FS" in arguments)
            for pid, name, arguments, result in calls
            if name in {"clone", "clone3", "fork", "vfork"} and result.isdecimal()
        }
        self._processes: dict[int, _Process] = {}
        for pid, name, arguments, result in calls:
            if name.startswith("exec"):
                self._execution(arguments)
            elif not result.startswith("-1 "):
                self._call(self._process(pid), name, arguments, result)

    def _execution(self, arguments: str) -> None:
        self.executions += 1
        program = arguments.partition(", ")[0]
        self.exposed += [f"{program} was given {name}" for name in sorted(self.needles.within(arguments))]
        if re.search(r"\.\.\.|/\*", re.sub(STRING, "", arguments)):  # "abc"..., or 0x7ffc /* 8 vars */
            self.exposed.append(f"{program} was cut short in the trace")

    def _process(self, pid: int) -> _Process:
        """Return a process. Its first call may be traced before its parent's `clone` has returned."""
        if pid not in self._processes:
            parent, shared = self._born.get(pid, (None, False))
            inherited = self._process(parent) if parent else _Process()
            self._processes[pid] = inherited if shared else copy.copy(inherited)
        return self._processes[pid]

    def _call(self, process: _Process, name: str, arguments: str, result: str) -> None:
        if name == "umask":
            process.umask = int(arguments, 8)
        elif name in {"clone", "clone3", "fork", "vfork"} and result.isdecimal():
            self._process(int(result))
        elif name in {"open", "openat", "creat"}:
            _paths(process, arguments)  # for the process's folder; the result has the path in full
            if opened := OPEN_FILE.match(result):
                self._opened(opened[1], name, PATH.sub("", arguments), process.umask)
        elif name.startswith(("write", "pwrite")):
            if written := OPEN_FILE.match(arguments):
                self._written(written[1], self.needles.within(arguments))
        elif name in {"sendfile", "copy_file_range"}:
            ends = OPEN_FILE.findall(arguments)
            source, target = ends if name == "copy_file_range" else reversed(ends)
            self._written(target, self.holders.get(source, set()))
        elif name.endswith("chmod") or name == "fchmodat":
            opened = OPEN_FILE.match(arguments) if name == "fchmod" else None
            path = opened[1] if opened else _paths(process, arguments)[0]
            self._modes[path] = int(re.findall(r", (0\d*)", arguments)[-1], 8)
            self._check(path)
        elif name.startswith("rename"):
            self._renamed(*_paths(process, arguments))
        elif name.startswith("unlink"):
            (path,) = _paths(process, arguments)
            self._modes.pop(path, None)
            self.holders.pop(path, None)

    def _opened(self, path: str, name: str, rest: str, umask: int) -> None:
        if ("O_CREAT" in rest or name == "creat") and ("O_EXCL" in rest or path not in self._modes):
            self._modes[path] = int(re.findall(r", (0\d*)", rest)[-1], 8) & ~umask

    def _written(self, path: str, names: set[str]) -> None:
        if names and path not in {"/dev/null", "/dev/tty"} and not path.startswith("/dev/pts/"):
            self.holders.setdefault(path, set()).update(names)
            self._check(path)

    def _renamed(self, old: str, new: str) -> None:
        for path in [path for path in self._modes if path == old or path.startswith(f"{old}/")]:
            moved = new + path.removeprefix(old)
            self._modes[moved] = self._modes.pop(path)
            self.holders.pop(moved, None)
            if path in self.holders:
                self.holders[moved] = self.holders.pop(path)
        self._check(new)

    def _check(self, path: str) -> None:
        mode = self._modes.get(path)
        if path in self.holders and (mode is None or mode & 0o077):
            mode_text = "of an unknown mode" if mode is None else f"of the mode {mode:04o}"
            self.wide += [f"{path}, {mode_text}, held {name}" for name in sorted(self.holders[path])]


def _calls(lines: Iterable[str]) -> Iterator[tuple[int, str, str, str]]:
    """Yield (process, name, arguments, result) when each call ended; strace splits calls that others interrupt."""
    begun: dict[str, str] = {}
    for line in lines:
        pid, _, text = line.rstrip("\n").partition(" ")
        text = text.lstrip()
        if text.endswith(" <unfinished ...>"):
            begun[pid] = text.removesuffix(" <unfinished ...>")
            continue
        if resumed := re.match(r"<\.\.\. \w+ resumed>", text):
            text = begun.pop(pid, "") + text[resumed.end() :]
        if call := re.fullmatch(r"(\w+)\((.*)\) += (.*)", text):
            yield int(pid), call[1], call[2], call[3]
    for pid, text in begun.items():  # the process ended, or became another program under another number
        name, _, arguments = text.partition("(")
        if name.startswith("exec"):
            yield int(pid), name, arguments, "?"


def _paths(process: _Process, arguments: str) -> list[str]:
    """Return the paths in a call's arguments; with AT_FDCWD strace prints the process's working directory."""
    paths = []
    for found in PATH.finditer(arguments):
        folder, name = found[1], found[2][1:-1]
        if found[0].startswith("AT_FDCWD"):
            process.folder = folder
        paths.append(normpath(join(folder or process.folder, name)))
    return paths
