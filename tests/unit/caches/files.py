"""Files of nginx' cache, as nginx writes them: a binary header, the key, the upstream's headers, and the content."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

SLICE = 8 << 20
BINARY = b"\x05\0\0\0\n\r\n\xff\0" + bytes(
    range(128, 256)
)  # an empty line in it is not the end of the headers


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def put(folder: Path, zone: str, key: str, headers: str, content: bytes, time: float = 100) -> str:
    """Write one; return its path in the folder."""
    name = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()
    path = folder / zone / name[-1] / name[-3:-1] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    head = f"\nKEY: {key}\nHTTP/1.1 200 OK\r\nServer: nginx\r\n{headers}\r\n"
    path.write_bytes(BINARY + head.encode() + content)
    os.utime(path, (time, time))
    return str(path.relative_to(folder))


def put_blob(folder: Path, registry: str, data: bytes, size: int = SLICE, time: float = 100) -> list[str]:
    """Write a blob in pieces of a size, as a registry that knows ranges sends it."""
    name = digest(data)
    return [
        put(folder, "images", f"{registry} blob {name} bytes={begin}-{begin + size - 1}",
            f"Content-Range: bytes {begin}-{min(begin + size, len(data)) - 1}/{len(data)}\r\n"
            f'ETag: "{name}"\r\n', data[begin : begin + size], time)
        for begin in range(0, len(data), size)
    ]  # fmt: skip


def put_manifest(folder: Path, registry: str, data: bytes, time: float = 100) -> str:
    name = digest(data)
    return put(
        folder, "images", f"{registry} manifest {name}", f"Docker-Content-Digest: {name}\r\n", data, time
    )


def put_tag(folder: Path, image: str, data: bytes, time: float = 100) -> str:
    registry, _, name = image.partition("/")
    return put(folder, "tags", f"{registry} {name}", f"Docker-Content-Digest: {digest(data)}\r\n", b"", time)
