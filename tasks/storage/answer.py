"""Parse what the script of `facts.py` printed."""

from __future__ import annotations

import gzip
import re
import zlib
from base64 import b64decode
from collections import defaultdict
from collections.abc import Iterator

from tasks.remote.fact_scripts import Answer
from tasks.storage.manifests import DIGEST, read_manifest
from tasks.storage.stored import Blob, Manifest, Repository, Stored, Tag, Upload

ABSENT, PROBLEM, WHOLE = "absent", "problem", "whole"
"""The keys of what is not compressed. `WHOLE` says that all problems were printed."""

END = "==> end <=="
"""Ends each compressed part. Without it the program that wrote the part was stopped."""

MANIFEST = re.compile(rb"==> blobs/(\w+)/[0-9a-f]{2}/([0-9a-f]+)/data <==\n")
"""What `tail -v` writes before each file (and a line feed before that, but for the first of a call). A text that a
registry accepted has no such line: JSON has no line feed within a string."""

LINK_SIZE = len("sha256:") + 64


def read_stored(answer: Answer) -> Stored:
    """Return what is stored; `ValueError` or `LookupError` if the answer is not whole."""
    if answer.one(ABSENT) is not None:
        return Stored(0, exists=False)
    if answer.one(WHOLE) is None:
        raise ValueError("nothing says that there were no problems")
    tag_lines = _lines(answer, "tags")
    _, now = next(tag_lines, [])
    tags = _read_tags(tag_lines)
    links = _Links()
    links.read(_lines(answer, "revisions"))
    links.read(_lines(answer, "layers"))
    blobs, leftovers = _read_blobs(_lines(answer, "blobs"))
    manifests = _read_manifests(_unpack(answer, "manifests"))
    unread = [digest for digest in links.revisions if digest in blobs and digest not in manifests]
    return Stored(
        read_at=int(now),
        repositories={
            name: Repository(
                name,
                tags.get(name, {}),
                links.manifests.get(name, {}),
                links.layers.get(name, {}),
                frozenset(links.half_written.get(name, ())),
            )
            for name in sorted({*tags, *links.repositories})
        },
        blobs=blobs,
        manifests=manifests,
        aliases=links.aliases,
        uploads=links.uploads,
        leftovers=leftovers,
        problems=(
            *("|".join(problem) for problem in answer.all(PROBLEM)),
            *links.misplaced,
            *([f"{len(unread)} manifests were not read, the first is {unread[0]}"] if unread else []),
        ),
    )


class _Links:
    """The links of all repositories, with what is beside them.

    `revisions` are what any repository has or had a manifest of. `misplaced` are problems: the registry would not find
    what is there, and its blobs seem to be unused.
    """

    def __init__(self) -> None:
        self.repositories: set[str] = set()
        self.manifests: dict[str, dict[str, int]] = defaultdict(dict)
        self.layers: dict[str, dict[str, int]] = defaultdict(dict)
        self.half_written: dict[str, set[str]] = defaultdict(set)
        self.revisions: set[str] = set()
        self.misplaced: list[str] = []
        self.aliases: dict[str, str] = {}
        self._uploads: dict[tuple[str, str], tuple[int, int]] = {}

    @property
    def uploads(self) -> tuple[Upload, ...]:
        return tuple(Upload(*key, *found) for key, found in self._uploads.items())

    def read(self, lines: Iterator[list[str]]) -> None:
        """Read the lines `folder PATH`, `link TIME SIZE PATH`, `upload TIME SIZE PATH` and `PATH:CONTENT`."""
        for kind, *fields in lines:
            repository, place, *parts = _split(fields[-1])
            if place not in {"manifests", "layers", "uploads"}:
                self.misplaced.append(f"the registry looks for no repository in {fields[-1]}")
                continue
            self.repositories.add(repository)
            match kind, place, parts:
                case "link", "layers", [algorithm, value, _]:
                    self._add(self.layers, repository, f"{algorithm}:{value}", fields)
                case "link", "manifests", [_, algorithm, value, _]:
                    self._add(self.manifests, repository, f"{algorithm}:{value}", fields)
                case "folder", "manifests", [_, algorithm, value]:
                    self.revisions.add(f"{algorithm}:{value}")
                case "upload", "uploads", [name, *_]:
                    size, changed = self._uploads.get((repository, name), (0, 0))
                    self._uploads[repository, name] = size + int(fields[1]), max(changed, _seconds(fields[0]))
                case "content", "layers", [algorithm, value, content] if DIGEST.fullmatch(content[5:]):
                    self.aliases[f"{algorithm}:{value}"] = content[5:]

    def _add(self, links: dict[str, dict[str, int]], repository: str, digest: str, fields: list[str]) -> None:
        if not DIGEST.fullmatch(digest):
            return
        links[repository][digest] = _seconds(fields[0])
        # One of another algorithm holds the digest by SHA-256, under which the data is (linkedblobstore.go, linkBlob).
        if int(fields[1]) not in {LINK_SIZE, len(digest)}:
            self.half_written[repository].add(digest)


def _read_tags(lines: Iterator[list[str]]) -> dict[str, dict[str, Tag]]:
    """Read the lines `tag PATH`, `former TIME SIZE PATH`, `pushed TIME SIZE PATH` and `PATH:CONTENT`."""
    seen: set[tuple[str, str]] = set()
    contents: dict[tuple[str, str], str] = {}
    pushed: dict[tuple[str, str], int] = {}
    former: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for kind, *fields in lines:
        repository, place, *parts = _split(fields[-1])
        if place != "manifests":
            continue
        _, name, *parts = parts
        tag = repository, name
        seen.add(tag)
        match kind, parts:
            case "content", [_, content]:
                # Of a link that has several lines, none is a digest for `Tag`.
                contents[tag] = contents.get(tag, "") + content.removeprefix("link:")
            case "pushed", _:
                pushed[tag] = int(fields[0])
            case "former", [_, algorithm, value, _]:
                former[tag][f"{algorithm}:{value}"] = _seconds(fields[0])
    found: dict[str, dict[str, Tag]] = defaultdict(dict)
    for repository, name in sorted(seen):
        tag = repository, name
        content = contents.get(tag, "")
        digest = content if DIGEST.fullmatch(content) else None
        time = pushed.get(tag) or max(former[tag].values(), default=0)
        found[repository][name] = Tag(repository, name, digest, time, former[tag])
    return found


def _read_blobs(lines: Iterator[list[str]]) -> tuple[dict[str, Blob], dict[str, Blob]]:
    """Read the lines `blob TIME SIZE PATH`; return the blobs by digest, and all other files by path."""
    blobs, leftovers = {}, {}
    for _, time, size, path in lines:
        found = Blob(int(size), _seconds(time))
        match path.split("/"):
            case [_, algorithm, _, value, "data"] if DIGEST.fullmatch(digest := f"{algorithm}:{value}"):
                blobs[digest] = found
            case _:
                leftovers[path] = found
    return blobs, leftovers


def _read_manifests(texts: bytes) -> dict[str, Manifest]:
    """Read the manifests that `tail -v` wrote one after the other."""
    _, *parts = MANIFEST.split(texts)
    found = {}
    for algorithm, value, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        digest = f"{algorithm.decode()}:{value.decode()}"
        if DIGEST.fullmatch(digest):
            manifest = read_manifest(digest, text.removesuffix(b"\n"))
            found[digest] = manifest if manifest.whole else read_manifest(digest, text)
    return found


def _split(path: str) -> list[str]:
    """Return the repository that a path is in, and each name that follows; the first without its `_`."""
    repository, _, rest = path.removeprefix("repositories").partition("/_")
    return [repository[1:], *rest.split("/")]


def _lines(answer: Answer, key: str) -> Iterator[list[str]]:
    """Return the fields of each line of a part. The last field is a path, which may contain blanks."""
    for line in _unpack(answer, key).decode(errors="surrogateescape").split("\n"):
        kind, _, rest = line.partition(" ")
        if line.startswith("repositories/"):
            yield ["content", line]
        elif kind in {"now", "tag", "folder"}:
            yield [kind, rest]
        elif kind in {"pushed", "former", "link", "upload", "blob"}:
            yield line.split(" ", 3)


def _unpack(answer: Answer, key: str) -> bytes:
    """Return a part of the answer, without its end; `ValueError` if it was cut off."""
    try:
        part = gzip.decompress(b64decode("".join(line for (line,) in answer.all(key))))
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{key}: {error}") from None
    found, end, rest = part.rpartition(END.encode())
    if not end or rest.strip():
        raise ValueError(f"{key} has no end")
    return found


def _seconds(time: str) -> int:
    return int(time.partition(".")[0])
