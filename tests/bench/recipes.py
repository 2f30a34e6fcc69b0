"""Images of whole hosts, made from Debian's packages and cached by a hash of their recipe."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import docker

from tests.bench.cache import cache, locked
from tests.bench.leftovers import LABEL, this_process
from tests.bench.programs import CONTAINERD23, Program, program
from tests.bench.sources import sources

BASE = ("systemd", "systemd-sysv", "openssh-server", "make", "python3", "ca-certificates", "iproute2")


NEWER = "forky"

# Debian's own configuration, converted from version 2 as by `containerd config migrate`.
CONTAINERD_CONFIG = """\
version = 3

[plugins]
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ['/usr/lib/cni']
    conf_dir = '/etc/cni/net.d'
  [plugins.'io.containerd.internal.v1.opt']
    path = '/var/lib/containerd/opt'
"""
# containerd's own unit, except for kernel modules and limits, which belong to the machine.
CONTAINERD_UNIT = """\
[Unit]
Description=containerd container runtime
After=network.target

[Service]
ExecStart=/usr/local/bin/containerd
Type=notify
Delegate=yes
KillMode=process
Restart=always
RestartSec=5

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class Recipe:
    """A host: the Debian `suite`, its `packages`, and the expected `versions`: pairs of a command and a pattern.

    Packages in `newer` come from the suite `NEWER`. `programs` go to /usr/local/bin, `files` are pairs of path and text;
    systemd services among them are enabled.
    """

    name: str
    suite: str
    packages: tuple[str, ...]
    versions: tuple[tuple[str, str], ...]
    newer: tuple[str, ...] = ()
    programs: tuple[Program, ...] = ()
    files: tuple[tuple[str, str], ...] = ()

    @property
    def tag(self) -> str:
        """The image's name; it changes with the recipe."""
        definition = repr((self, *(each.key for each in self.programs)))
        return f"homelab-bench-{self.name}:{hashlib.sha256(definition.encode()).hexdigest()[:12]}"


# Neither Docker nor pip nor sudo, as after Debian's installer.
BOOKWORM = Recipe("bookworm", "bookworm", BASE, (("cat /etc/debian_version", r"12\."),))
BOOKWORM_DOCKER = Recipe(
    "bookworm-docker",
    "bookworm",
    (*BASE, "docker.io", "openssl", "sudo", "strace", "python3-venv", "git"),
    (("cat /etc/debian_version", r"12\."), ("docker --version", r"Docker version 20\.10\.")),
)
BOOKWORM_BACKUP = replace(
    BOOKWORM_DOCKER,
    name="bookworm-backup",
    packages=(*BOOKWORM_DOCKER.packages, "rsync", "restic", "age"),
    versions=(*BOOKWORM_DOCKER.versions, ("restic version", r"restic 0\.14\.")),
)
NODE = (*BASE, "openssl", "sudo", "strace")
BOOKWORM_NODE = Recipe(
    "bookworm-node",
    "bookworm",
    (*NODE, "docker.io", "podman"),
    (
        ("cat /etc/debian_version", r"12\."),
        ("docker --version", r"Docker version 20\.10\."),
        ("containerd --version", r"containerd github.com/containerd/containerd 1\.6\."),
        ("podman --version", r"podman version 4\.3\."),
    ),
)
TRIXIE_NODE = Recipe(
    "trixie-node",
    "trixie",
    (*NODE, "docker.io", "docker-cli", "docker-buildx", "containerd", "runc", "podman", "skopeo"),
    (
        ("cat /etc/debian_version", r"13\."),
        ("docker --version", r"Docker version 28\."),
        ("containerd --version", r"containerd github.com/containerd/containerd/v2 2\.1\."),
        ("podman --version", r"podman version 5\.4\."),
        ("skopeo --version", r"skopeo version 1\."),
    ),
    newer=("docker.io", "docker-cli", "docker-buildx", "containerd", "runc"),
    files=(("/etc/containerd/config.toml", CONTAINERD_CONFIG),),
)
# As from upstream's release archive: below /usr/local, without a configuration.
CONTAINERD23_NODE = Recipe(
    "containerd23-node",
    "trixie",
    (*NODE, "runc"),
    (
        ("cat /etc/debian_version", r"13\."),
        ("containerd --version", r"containerd github.com/containerd/containerd/v2 2\.3\.7"),
    ),
    programs=CONTAINERD23,
    files=(("/etc/systemd/system/containerd.service", CONTAINERD_UNIT),),
)
# Programs that a kubelet calls, or containerd on its behalf.
KUBELET = ("containernetworking-plugins", "conntrack", "iptables", "runc")
PAUSE = "bench.invalid/pause:1"
"""The image of a pod's sandbox; it is in no registry, and is imported into containerd."""

# As after setting up Kubernetes without a registry. restrict_oom_score_adj: a machine may forbid lowering the score.
KUBE16_CONFIG = f"""\
version = 2

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
"""
KUBE23_CONFIG = f"""\
version = 3

[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = '{PAUSE}'

[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true

[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ['/usr/lib/cni']
"""
KUBE16_NODE = Recipe(
    "kube16-node",
    "bookworm",
    (*NODE, *KUBELET, "containerd"),
    (
        ("cat /etc/debian_version", r"12\."),
        ("containerd --version", r"containerd github.com/containerd/containerd 1\.6\."),
    ),
    files=(("/etc/containerd/config.toml", KUBE16_CONFIG),),
)
KUBE23_NODE = Recipe(
    "kube23-node",
    "trixie",
    (*NODE, *KUBELET),
    CONTAINERD23_NODE.versions,
    programs=CONTAINERD23,
    files=(*CONTAINERD23_NODE.files, ("/etc/containerd/config.toml", KUBE23_CONFIG)),
)
# The control plane's host, with Docker Engine, so that it can also be the registry host.
KUBE_CONTROL = Recipe(
    "kube-control",
    "bookworm",
    (*NODE, "docker.io", "etcd-server"),
    (
        ("cat /etc/debian_version", r"12\."),
        ("docker --version", r"Docker version 20\.10\."),
        ("etcd --version", r"etcd Version: 3\.4\."),
    ),
    files=(("/etc/default/etcd", "ETCD_UNSAFE_NO_FSYNC=true\n"),),
)
CLUSTER = (KUBE_CONTROL, KUBE16_NODE, KUBE23_NODE)
RECIPES = {
    recipe.name: recipe
    for recipe in (
        BOOKWORM,
        BOOKWORM_DOCKER,
        BOOKWORM_BACKUP,
        BOOKWORM_NODE,
        TRIXIE_NODE,
        CONTAINERD23_NODE,
        *CLUSTER,
    )
}


def image(client: docker.DockerClient, recipe: Recipe) -> str:
    """Return the tag of the recipe's image; make it if it is missing. `RuntimeError` if a version is not as expected."""
    with locked(recipe.name):
        if not client.images.list(recipe.tag):
            began = time.monotonic()
            print(f"making the image {recipe.tag} ...", file=sys.stderr, flush=True)
            _make(client, recipe)
            print(f"made it in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return recipe.tag


def _make(client: docker.DockerClient, recipe: Recipe) -> None:
    archive = cache() / f"{recipe.tag.replace(':', '-')}.tar"
    if not archive.exists():
        _build(recipe, archive)
    unchecked = (
        f"{recipe.tag}-unchecked"  # otherwise an interrupted run would leave an image that looks checked
    )
    with archive.open("rb") as file:
        subprocess.run(
            ["docker", "import", "-", unchecked], stdin=file, check=True, stdout=subprocess.DEVNULL
        )
    try:
        for command, pattern in recipe.versions:
            output = client.containers.run(
                unchecked, ["sh", "-c", command], remove=True, labels={LABEL: this_process()}
            )
            version = output.decode().strip()
            if not re.match(pattern, version):
                archive.unlink()
                raise RuntimeError(
                    f"{recipe.name}: {command!r} says {version!r}, not {pattern!r}; the recipe is for another version"
                )
        client.images.get(unchecked).tag(recipe.tag)
    finally:
        client.images.remove(unchecked)


def _build(recipe: Recipe, archive: Path) -> None:
    if shutil.which("mmdebstrap") is None:
        for command in (["update"], ["install", "-y", "mmdebstrap"]):
            subprocess.run(["apt-get", "-q", *command], check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory(dir=cache()) as temporary:
        folder = Path(temporary)
        before, after = folder / "before", folder / "after"  # copied over the host's root folder
        suites = [recipe.suite]
        if recipe.newer:
            suites.append(NEWER)
            _write(before / "etc/apt/preferences.d" / NEWER, _preferences(recipe.newer))
        for each in recipe.programs:
            _write(after / "usr/local/bin" / each.name, program(each).read_bytes(), 0o755)
        for path, text in recipe.files:
            _write(after / path.lstrip("/"), text.encode())
        units = [Path(path).name for path, _ in recipe.files if path.endswith(".service")]
        debian = folder / "debian.sources"  # mmdebstrap copies it into the host
        debian.write_text("\n".join(sources(suite) for suite in suites))
        new = folder / "new.tar"
        subprocess.run(
            ["mmdebstrap", "-q", "--variant=important", f"--include={','.join(recipe.packages)}",
             '--aptopt=Acquire::Check-Valid-Until "false"',  # a mirror may not be updated any more
             *([f'--setup-hook=cp -r {before}/. "$1"'] if before.exists() else []),
             *([f'--customize-hook=cp -r {after}/. "$1"'] if after.exists() else []),
             *(f'--customize-hook=chroot "$1" systemctl -q enable {unit}' for unit in units),
             recipe.suite, str(new), str(debian)],
            check=True,
        )  # fmt: skip
        new.rename(archive)


def _write(path: Path, data: bytes, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)


def _preferences(newer: tuple[str, ...]) -> bytes:
    """Return apt's preferences: these packages from `NEWER`, and others only as their dependencies."""
    pins = (("*", 100), (" ".join(newer), 990))  # the host's own suite has priority 500
    stanzas = (
        f"Package: {packages}\nPin: release n={NEWER}\nPin-Priority: {priority}\n"
        for packages, priority in pins
    )
    return "\n".join(stanzas).encode()
