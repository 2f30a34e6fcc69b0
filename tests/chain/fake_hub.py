"""A fake of Docker Hub for one image, `library/alpine`: a script for a host, and what makes its Docker Engine ask it.

The image is no Alpine: its one file says so. It is there for commands that people paste, which pull `alpine`.
"""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # on the host there is no project
    from tests.bench.hosts import BenchHost

PORT = 5001
TEXT = b"This is no Alpine, but an image of homelab-registry's tests.\n"
DAEMON_JSON, SCRIPT, PID = "/etc/docker/daemon.json", "/run/fake_hub.py", "/run/fake_hub.pid"
RELOAD = "kill -HUP $(cat /var/run/docker.pid)"
"""Docker Engine reads `registry-mirrors` again without a restart (dockerd(8), "Configuration reload behavior")."""


@contextmanager
def hub(host: BenchHost) -> Iterator[None]:
    """Have a host's Docker Engine pull from the fake."""
    host.write(SCRIPT, Path(__file__).read_text())
    host.run(f"nohup python3 {SCRIPT} >/dev/null 2>&1 & echo $! > {PID}")
    before = host.run(f"cat {DAEMON_JSON}", check=False).stdout
    try:
        host.wait_until(f"ss -Htln 'sport = :{PORT}' | grep -q .", 20, "the fake")
        mirror = {"registry-mirrors": [f"http://127.0.0.1:{PORT}"]}
        host.write(DAEMON_JSON, json.dumps({**json.loads(before or "{}"), **mirror}))
        host.run(RELOAD)
        host.wait_until(f"docker info 2>/dev/null | grep -q 127.0.0.1:{PORT}", 20, "the mirror")
        yield
    finally:
        if before:
            host.write(DAEMON_JSON, before)
        else:
            host.run(f"rm {DAEMON_JSON}")
        host.run(f"{RELOAD}; kill $(cat {PID}); rm {PID} {SCRIPT}")


def _layer() -> bytes:
    """Return a tar archive with one file."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo("README")
        entry.size = len(TEXT)
        tar.addfile(entry, io.BytesIO(TEXT))
    return archive.getvalue()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _contents() -> dict[str, tuple[str, bytes]]:
    """Return what the fake serves, by path: content type and content."""
    image, kind = (
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.docker.container.image.v1+json",
    )
    plain = _layer()
    layer = gzip.compress(plain, mtime=0)
    rootfs = {"type": "layers", "diff_ids": [_digest(plain)]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()
    manifest_type = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": manifest_type,
            "config": {"mediaType": kind, "size": len(config), "digest": _digest(config)},
            "layers": [{"mediaType": image, "size": len(layer), "digest": _digest(layer)}],
        }
    ).encode()
    base = "/v2/library/alpine"
    return {
        "/v2/": ("application/json", b"{}"),
        f"{base}/manifests/latest": (manifest_type, manifest),
        f"{base}/manifests/{_digest(manifest)}": (manifest_type, manifest),
        f"{base}/blobs/{_digest(config)}": ("application/octet-stream", config),
        f"{base}/blobs/{_digest(layer)}": ("application/octet-stream", layer),
    }


class _Hub(http.server.BaseHTTPRequestHandler):
    contents = _contents()

    def do_GET(self) -> None:
        kind, content = self.contents.get(self.path.partition("?")[0], ("", b""))
        self.send_response(200 if kind else 404)
        self.send_header("Content-Type", kind or "text/plain")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Docker-Content-Digest", _digest(content))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def do_HEAD(self) -> None:
        self.do_GET()


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", PORT), _Hub).serve_forever()
