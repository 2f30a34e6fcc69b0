"""The runtimes of a node: each pulls an image with its own client, and is left as it was."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import PurePosixPath
from typing import Any

from tasks.cluster_nodes.node import Node
from tasks.cluster_nodes.runtimes import containerd
from tasks.cluster_nodes.runtimes.table import RUNTIMES
from tests.verify.backend import Host, last_line
from tests.verify.deployed import Deployed
from tests.verify.deployment import Login

SOCKETS = {
    "k3s": "unix:///run/k3s/containerd/containerd.sock",
    "rke2": "unix:///run/k3s/containerd/containerd.sock",
    "containerd": "unix:///run/containerd/containerd.sock",
    "crio": "unix:///var/run/crio/crio.sock",
}

CRI_PULL = "cri-pull"
"""A client of the CRI that takes a login on standard input. crictl takes it as an argument, which all can read."""


class Runtime(ABC):
    """A runtime of a node; `close` removes what was pulled."""

    def __init__(self, host: Host, name: str, found: Node) -> None:
        self.host, self.name, self.title, self.found = host, name, RUNTIMES[name].title, found
        self._pulled: set[str] = set()
        self._before = ""

    def pull(self, reference: str, login: Login) -> Any:
        """Pull an image, as an account if the runtime's client takes a login on standard input."""
        self._pulled.add(reference)
        return self._pull(reference, login)

    def pull_without_login(self, reference: str) -> Any:
        """Pull an image that everybody may read."""
        self._pulled.add(reference)
        return self._pull(reference, None)

    def remove(self, reference: str) -> Any:
        """Remove an image, with all its names if it is one of the CRI's."""
        return self._remove(reference)

    def has(self, _reference: str, signs: Collection[str]) -> bool:
        """Return whether there is an image with one of these names or digests."""
        self._before = self._before or self._listed()
        return any(each in self._before for each in signs)

    def close(self) -> None:
        """Remove what was pulled; `AssertionError` with one line if something is left."""
        for reference in self._pulled:
            done = self._remove(reference)
            assert done.rc == 0, (
                f"{self.host.name}: {reference} could not be removed from {self.title} ({last_line(done)}); "
                "remove it by hand"
            )

    @property
    @abstractmethod
    def images(self) -> str:
        """The folder with its images."""

    @property
    def takes_login(self) -> bool:
        """Whether it pulls as an account."""
        return True

    @abstractmethod
    def _pull(self, reference: str, login: Login | None) -> Any: ...

    @abstractmethod
    def _remove(self, reference: str) -> Any:
        """Remove an image; no error if there is none."""

    @abstractmethod
    def _listed(self) -> str:
        """Return the names and digests of all images that a removal could be of."""


class Cri(Runtime):
    """A runtime that pulls through the CRI, as for the kubelet: with the configuration that it runs with."""

    def __init__(self, host: Host, name: str, found: Node, client: str) -> None:
        super().__init__(host, name, found)
        self._client = client

    @property
    def takes_login(self) -> bool:
        return self._client == CRI_PULL

    @property
    def images(self) -> str:
        if self.name in self.found.data:
            return f"{self.found.data[self.name]}/agent/containerd"
        if self.name == "crio":
            return "/var/lib/containers"
        return _containerd_root(self.host, self.found)

    def _pull(self, reference: str, login: Login | None) -> Any:
        if self.takes_login:
            given = f"{login.name}:{login.password}" if login else ""
            return self.host.run_with_input(given, "cri-pull %s %s", SOCKETS[self.name], reference)
        return self._crictl("pull", reference)

    def _remove(self, reference: str) -> Any:
        if self.takes_login:
            return self.host.run("cri-pull --remove %s %s", SOCKETS[self.name], reference)
        there = self._crictl("images", "--quiet", reference)
        return self._crictl("rmi", reference) if there.rc == 0 and there.stdout.strip() else there

    def _listed(self) -> str:
        if self.takes_login:
            return self.host.output(
                "ctr --address %s --namespace k8s.io images list --quiet",
                SOCKETS[self.name].removeprefix("unix://"),
            )
        listed = self._crictl("images", "--output", "json")
        assert listed.rc == 0, (
            f"{self.host.name}: {self.title} does not list its images ({last_line(listed)}); fix that and run again"
        )
        return str(listed.stdout)

    def _crictl(self, *arguments: str) -> Any:
        sockets = [f"--{which}-endpoint={SOCKETS[self.name]}" for which in ("runtime", "image")]
        words = [*sockets, *arguments]
        return self.host.run(f"{self._client}{' %s' * len(words)}", *words)


class Ctr(Runtime):
    """containerd on a host without a client of the CRI.

    `ctr` reads no configuration, so it is given the folder that the CRI reads. It takes a login as an argument only.
    """

    NAMESPACE = "homelab-verify"

    @property
    def takes_login(self) -> bool:
        return False

    @property
    def images(self) -> str:
        return _containerd_root(self.host, self.found)

    def _pull(self, reference: str, login: Login | None) -> Any:
        folder = PurePosixPath(containerd.ca_file("any", self.found)).parents[1]
        return self.host.run(f"{self._ctr} images pull --hosts-dir %s %s", str(folder), reference)

    def _remove(self, reference: str) -> Any:
        listed = "ctr namespaces list --quiet | grep -qx %s"
        emptied = f"{self._ctr} images remove %s >/dev/null 2>&1; ctr namespaces remove %s"
        return self.host.run(f"! {listed} || {{ {emptied}; }}", self.NAMESPACE, reference, self.NAMESPACE)

    def _listed(self) -> str:
        return ""  # what others pulled is in other namespaces

    @property
    def _ctr(self) -> str:
        return f"ctr --address {SOCKETS[self.name].removeprefix('unix://')} --namespace {self.NAMESPACE}"


class Podman(Runtime):
    """Podman as root, with a file of its own for the login."""

    def __init__(self, host: Host, name: str, found: Node) -> None:
        super().__init__(host, name, found)
        self._folder = host.output("mktemp -d /tmp/homelab-verify-XXXXXXXX")
        self.login_file = f"{self._folder}/auth.json"

    @property
    def images(self) -> str:
        return self.host.output("podman info --format '{{.Store.GraphRoot}}'").strip()

    def close(self) -> None:
        self.host.run("rm -rf -- %s", self._folder)
        super().close()

    def pull_as_node(self, reference: str) -> Any:
        """Pull with the node's own login."""
        self._pulled.add(reference)
        return self.host.run(
            # DOCKER_CONFIG, which keeps root's settings from Docker here, is read by Podman too.
            "env -u XDG_RUNTIME_DIR -u REGISTRY_AUTH_FILE -u DOCKER_CONFIG HOME=/root podman pull -q %s",
            reference,
        )

    def _pull(self, reference: str, login: Login | None) -> Any:
        if login is None:
            nobody = f"{self._folder}/nobody.json"
            return self.host.run("echo {} > %s && podman pull -q --authfile %s %s", nobody, nobody, reference)
        name = reference.partition("/")[0]
        done = self.host.run_with_input(
            login.password,
            "podman login --authfile %s --username %s --password-stdin %s",
            self.login_file, login.name, name,
        )  # fmt: skip
        if done.rc != 0:
            return done
        return self.host.run("podman pull -q --authfile %s %s", self.login_file, reference)

    def _remove(self, reference: str) -> Any:
        return self.host.run("! podman image exists %s || podman image rm -f %s", reference, reference)

    def _listed(self) -> str:
        return self.host.output(
            "podman images --all --no-trunc --digests --format %s",
            "{{.Repository}}:{{.Tag}} {{.ID}} {{.Digest}}",
        )


@contextmanager
def configured(node: Host, deployed: Deployed, note: Callable[[str], None]) -> Iterator[list[Runtime]]:
    """Give the runtimes of a node that a deploy configures and that can be asked; of others, it is noted.

    Docker is asked as a Docker host's.
    """
    found, names = deployed.runtimes(node)
    with ExitStack() as closing:
        asked = []
        for name in names:
            if name == "docker":
                continue
            if runtime := make(node, name, found):
                asked.append(runtime)
                closing.callback(runtime.close)
            else:
                note(
                    f"{node.name}: {RUNTIMES[name].title} was not asked, since there is no crictl (cri-tools)"
                )
        yield asked


def make(host: Host, name: str, found: Node) -> Runtime | None:
    """Return a node's runtime by its name in `registry_runtime`; None if it has no program that can ask it."""
    if name == "podman":
        return Podman(host, name, found)
    clients = [CRI_PULL, "crictl", "/usr/local/bin/crictl"]
    clients += ["k3s crictl", "/usr/local/bin/k3s crictl", f"{found.data['rke2']}/bin/crictl"]
    for client in clients:
        if _is_there(host, client.partition(" ")[0]):
            return Cri(host, name, found, client)
    return Ctr(host, name, found) if name == "containerd" and _is_there(host, "ctr") else None


def _is_there(host: Host, program: str) -> bool:
    return bool(host.run("command -v %s", program).rc == 0)


def _containerd_root(host: Host, found: Node) -> str:
    dumped = host.output("containerd --config %s config dump", found.containerd_config)
    roots = [line.split("=")[1].strip(" '\"") for line in dumped.splitlines() if line.startswith("root =")]
    return (roots or ["/var/lib/containerd"])[0]
