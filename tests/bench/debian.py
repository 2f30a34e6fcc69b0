"""Programs of Debian's packages that tests run on this machine. They are not installed: a package may start a service."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from tests.bench.cache import cache, locked


def unpacked(package: str) -> Path:
    """Return the folder with the files of a package; it has to need no other but libc. It is fetched once."""
    folder = cache() / f"debian-{package}"
    with locked(f"debian-{package}"):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=cache()) as new:
                _fetch(package, Path(new)).rename(folder)
    return folder


def _fetch(package: str, folder: Path) -> Path:
    # As root: apt's own user cannot write into the folder.
    fetch = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", package]
    if subprocess.run(fetch, cwd=folder, capture_output=True, check=False).returncode:
        subprocess.run(["apt-get", "-q", "update"], capture_output=True, check=True)
        subprocess.run(fetch, cwd=folder, capture_output=True, check=True)
    (archive,) = folder.glob("*.deb")
    subprocess.run(["dpkg-deb", "-x", archive, folder / "files"], check=True)
    return folder / "files"
