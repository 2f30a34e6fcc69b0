"""Several kinds of hosts at once, over SSH: each runtime trusts the registry, proven by its own client.

Each runtime is also tested in reverse: without our file and with a wrong CA the same pull is refused
because of the certificate, and with our file a certificate for another server name is still refused.
"""

from __future__ import annotations

import datetime as dt
import difflib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.certificates import ca
from tests import printed
from tests.bench import registry_images
from tests.bench.fleet import Fleet
from tests.bench.hosts import BenchHost, Result
from tests.bench.programs import CRI_PULL, CRICTL, REGISTRIES_PULL
from tests.bench.recipes import BOOKWORM_DOCKER, BOOKWORM_NODE, CONTAINERD23_NODE, TRIXIE_NODE
from tests.fleet.deployment import Deployment, RunResult
from tests.fleet.on_disk import listing
from tests.forks import ROOT

NAME, OTHER = "registry.homelab.local", "other.homelab.local"
IMAGE = "team/app:v1"
RECIPES = {"nas": BOOKWORM_DOCKER, "deb12": BOOKWORM_NODE, "deb13": TRIXIE_NODE, "newest": CONTAINERD23_NODE}
UNRELATED_CA = ca.make_authority([NAME], 2, dt.datetime.now(dt.UTC)).certificate_pem
UNKNOWN_CA = "certificate signed by unknown authority"
WRONG_NAME = f"certificate is valid for {NAME}, not {OTHER}"

# A fake, since K3s itself is not available. A program of its name makes the project treat the host as one with K3s;
# `registries-pull` reads what the project writes with the module that K3s itself uses.
K3S = "printf '#!/bin/sh\\n' > /usr/local/bin/k3s && chmod 0755 /usr/local/bin/k3s"


USER_TEXTS = [
    ("deb12", "/home/worker/.docker/config.json",
     '{\n  "psFormat": "x",\n  "auths": {\n    "ghcr.io": {\n      "auth": "dTpw"\n    }\n  }\n}'),
    ("deb12", "/etc/containerd/config.toml", "\n# The user's own.\n[debug]\n  level = 'info'   # and a remark\n"),
    ("deb13", "/etc/containerd/config.toml", "\n# The user's own.\n[debug]\n  level = 'info'   # and a remark\n"),
    ("newest", "/etc/rancher/k3s/registries.yaml",
     "# The user's own.\nmirrors:\n  docker.io:\n    endpoint:\n      - \"https://mirror.homelab.local\"   # a remark\n"
     "configs:\n  'mirror.homelab.local':\n    auth: {username: u, password: p}"),
]  # fmt: skip
"""(host, path, text): text by the user in files that the project adds to."""


@dataclass(frozen=True)
class Homelab:
    """The hosts and the deployment on them; `planned` and `first` are its first plan and its first run."""

    fleet: Fleet
    deployment: Deployment
    user_files: dict[tuple[str, str], str]
    before: dict[str, str]
    after_plan: dict[str, str]
    planned: RunResult
    first: RunResult

    def host(self, name: str) -> BenchHost:
        return self.fleet.hosts[name]


@pytest.fixture(scope="module")
def homelab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homelab]:
    folder = tmp_path_factory.mktemp("homelab")
    fleet = Fleet.start(RECIPES, folder, as_root=["newest"])
    try:
        registry_images.load(fleet.hosts["nas"])
        for host in fleet.hosts.values():
            # The registry is also reachable by a second name, which its certificate does not have.
            host.run(f"echo '{fleet.hosts['nas'].address} {OTHER} # of the user' >> /etc/hosts")
        for name in ("deb13", "newest"):  # on the others openssl asks for containerd
            fleet.hosts[name].give(CRICTL)
        fleet.hosts["newest"].run(K3S)
        fleet.hosts["deb12"].run("useradd --create-home --shell /bin/sh worker && usermod -aG docker worker")
        for name, path, text in USER_TEXTS:
            fleet.hosts[name].run(f"mkdir -p $(dirname {path})")
            fleet.hosts[name].run(f"cat >> {path}", stdin=text)
        fleet.hosts["deb12"].run("chown -R worker: /home/worker")
        fleet.data["deb12"] |= {"registry_login_users": ["root", "worker"]}  # type: ignore[dict-item]
        fleet.data["deb13"] |= {"registry_system_trust": True}
        fleet.data["newest"] |= {"registry_node_login": True, "registry_system_trust": True}
        groups = {
            "registry": ["nas"],
            "docker_hosts": ["nas", "deb12", "deb13"],
            "cluster_nodes": ["deb12", "deb13", "newest"],
        }
        deployment = Deployment(folder, fleet.inventory(groups))
        user_files = {(name, path): fleet.hosts[name].read(path) for name, path, _ in USER_TEXTS}
        before = {name: listing(host) for name, host in fleet.hosts.items()}
        planned = deployment.plan()
        after_plan = {name: listing(host) for name, host in fleet.hosts.items()}
        first = deployment.run()
        assert first.exit_code == 0, first.output
        push(fleet.hosts["nas"], deployment)
        yield Homelab(fleet, deployment, user_files, before, after_plan, planned, first)
    finally:
        fleet.remove()


def password(deployment: Deployment, account: str) -> str:
    return deployment.store.password_path(account).read_text().strip()


def push(host: BenchHost, deployment: Deployment) -> None:
    """Push an image of one file that a build can run on, as a person would."""
    host.run(f"docker login -u ci --password-stdin {NAME}", stdin=password(deployment, "ci"))
    host.run(f"echo hello > /tmp/hello && tar -c -C /tmp hello | docker import - {NAME}/{IMAGE}")
    host.run(f"docker push {NAME}/{IMAGE} && docker rmi {NAME}/{IMAGE} && docker logout {NAME}")


# Plan, first run, second run.


@pytest.mark.parametrize("name", RECIPES)
def test_the_plan_matches_the_run_and_writes_nothing(homelab: Homelab, name: str) -> None:
    assert homelab.planned.exit_code == 0, homelab.planned.output
    assert homelab.first.steps_on(name), "nothing to do on a fresh host"
    assert homelab.planned.steps_on(name) == homelab.first.steps_on(name)
    assert homelab.after_plan[name] == homelab.before[name]


@pytest.mark.parametrize(("name", "path", "text"), USER_TEXTS)
def test_user_text_stays_byte_for_byte(homelab: Homelab, name: str, path: str, text: str) -> None:
    """Except for what the format requires before an addition: a comma in JSON, or a missing newline at the end."""
    before, now = homelab.user_files[name, path], homelab.host(name).read(path)
    assert text in before
    assert before != now
    changes = difflib.ndiff(before.splitlines(keepends=True), now.splitlines(keepends=True))
    for lost in [line[2:] for line in changes if line.startswith("- ")]:
        with_end = f"{lost.removesuffix(chr(10))},\n" if path.endswith(".json") else f"{lost}\n"
        assert with_end in now.splitlines(keepends=True), lost


def test_each_host_is_listed_in_the_summary(homelab: Homelab) -> None:
    trusted = {title: sorted(homelab.first.trusted_by(title)) for title in ("Docker", "containerd", "Podman")}
    assert trusted == {
        "Docker": ["deb12", "deb13", "nas"],
        "containerd": ["deb12", "deb13", "newest"],
        "Podman": ["deb12", "deb13"],
    }
    assert printed.by_runtime(homelab.first.output, "Has the CA") == {"K3s": ["newest"]}  # it does not run
    assert homelab.first.logged_in == "root, worker on deb12"


def test_a_second_run_does_nothing_and_reads_one_fact_per_role(homelab: Homelab) -> None:
    ran = homelab.deployment.run()
    assert ran.exit_code == 0, ran.output
    assert ran.steps == []
    counted = {name: len(ran.commands_on(name)) for name in RECIPES}
    # One look at the host, and one fact for each role: nas is the registry host and a Docker host.
    assert counted == {"nas": 3, "deb12": 3, "deb13": 3, "newest": 2}, ran.commands


def test_users_are_logged_in(homelab: Homelab) -> None:
    host = homelab.host("deb12")
    host.run(f"docker rmi -f {NAME}/{IMAGE}", check=False)
    assert "Downloaded newer image" in host.run(f"su worker -c 'docker pull {NAME}/{IMAGE}'").stdout


# Drift: of each kind, in all files of all hosts at once.

Drifts = list[tuple[str, str]]
"""Commands, each with the step that it makes necessary."""


def changed(path: str) -> tuple[str, str]:
    return f"echo x >> {path}", f"write {path}: its content is not as it should be"


def removed(path: str) -> tuple[str, str]:
    return f"rm {path}", f"write {path}: it is missing"


def mode(path: str) -> tuple[str, str]:
    return f"chmod 0640 {path}", f"set owner and mode of {path}: its mode is 0640, not 0644"


def owner(path: str) -> tuple[str, str]:
    return f"chown 7:8 {path}", f"set owner and mode of {path}: it belongs to 7:8, not 0:0"


DOCKER, CONTAINERD, CONTAINERS = "/etc/docker/certs.d", "/etc/containerd/certs.d", "/etc/containers/certs.d"
NODE = [f"{CONTAINERD}/{NAME}/ca.crt", f"{CONTAINERD}/{NAME}/hosts.toml"]
OURS = {
    "deb12": [f"{DOCKER}/{NAME}/ca.crt", *NODE, f"{CONTAINERS}/{NAME}/ca.crt"],
    "deb13": [f"{DOCKER}/{NAME}/ca.crt", *NODE, f"{CONTAINERS}/{NAME}/ca.crt"],
    "newest": [*NODE, "/etc/rancher/k3s/homelab-registry-ca.crt"],
}
"""The files by host that have nothing of the user's in them."""

CONFIG, KUBELET = "/home/worker/.docker/config.json", "/var/lib/kubelet/config.json"
REGISTRIES = "/etc/rancher/k3s/registries.yaml"
STORE = "/usr/local/share/ca-certificates/homelab-registry.crt"
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
WITHOUT_OURS = f"mv {STORE} /tmp/ours && update-ca-certificates >/dev/null 2>&1 && mv /tmp/ours {STORE}"
NO_HASH = ("true", f"refresh {BUNDLE}: OpenSSL does not find our certificate by its hash")
ENTRY_CHANGED = (
    f"sed 's/^.*# homelab-registry$/192.168.9.9 {NAME} # homelab-registry/' /etc/hosts > /tmp/h; cat /tmp/h > /etc/hosts",
    "write /etc/hosts: our entry is not as it should be",
)
ENTRY_REMOVED = (
    "sed '/# homelab-registry$/d' /etc/hosts > /tmp/h; cat /tmp/h > /etc/hosts",
    "write /etc/hosts: our entry is missing",
)
OTHERS: dict[str, dict[str, Drifts]] = {
    "changed": {
        "deb12": [
            ENTRY_CHANGED,
            (f"sed -i 's/\"Y2x1c3Rlc[^\"]*\"/\"eDp5\"/' {CONFIG}", f"write {CONFIG}: the login of worker is not as it should be"),
        ],
        "deb13": [ENTRY_CHANGED, (WITHOUT_OURS, f"refresh {BUNDLE}: our certificate is not in it")],
        "newest": [
            ENTRY_CHANGED,
            (WITHOUT_OURS, f"refresh {BUNDLE}: our certificate is not in it"),
            (f"sed -i '/ca_file/d' {REGISTRIES}", f"write {REGISTRIES}: our entries are not as they should be"),
            (f"sed -i 's/\"auth\": \"[^\"]*\"/\"auth\": \"eDp5\"/' {KUBELET}",
             f"write {KUBELET}: the node's login is not as it should be"),
        ],
    },
    "removed": {
        "deb12": [ENTRY_REMOVED],
        "deb13": [ENTRY_REMOVED, removed(STORE), NO_HASH],
        "newest": [ENTRY_REMOVED, removed(STORE), NO_HASH, removed(KUBELET)],
    },
    "mode": {
        "deb12": [
            (f"chmod 0700 {DOCKER}", f"set owner and mode of {DOCKER}: its mode is 0700, not 0755"),
            (f"chmod 0644 {CONFIG}", f"set mode of {CONFIG}: its mode is 0644, not 0600"),
        ],
        "newest": [
            (f"chmod 0644 {REGISTRIES}", f"set the mode of {REGISTRIES}: it is 0644, and holds a password"),
            (f"chmod 0644 {KUBELET}", f"set mode of {KUBELET}: it is 0644, and holds a password"),
        ],
    },
}  # fmt: skip
"""Further drifts of a kind, in files that belong to the user."""


@pytest.mark.parametrize("kind", [changed, removed, mode, owner], ids=lambda kind: kind.__name__)
def test_drift_is_fixed_exactly(homelab: Homelab, kind: Callable[[str], tuple[str, str]]) -> None:
    others = OTHERS.get(kind.__name__, {})
    drifted = {name: [*map(kind, paths), *others.get(name, [])] for name, paths in OURS.items()}
    before = {name: listing(homelab.host(name)) for name in drifted}
    for name, drifts in drifted.items():
        homelab.host(name).run("; ".join(command for command, _ in drifts))
        assert listing(homelab.host(name)) != before[name], name
    expected = {name: sorted(step for _, step in drifts) for name, drifts in drifted.items()}
    planned, ran = homelab.deployment.plan(), homelab.deployment.run()
    assert ran.exit_code == 0, ran.output
    assert {name: sorted(ran.steps_on(name)) for name in RECIPES} == {"nas": [], **expected}
    assert all(planned.steps_on(name) == ran.steps_on(name) for name in RECIPES)
    for name, listed in before.items():
        assert listing(homelab.host(name)) == listed, name


# What a client sees is said, not what was written.


def test_a_firewall_on_the_registry_host_is_named_with_the_clients_that_it_keeps_out(
    homelab: Homelab,
) -> None:
    """The registry host reaches itself all the same: Docker's own rules are passed by forwarded packets alone."""
    homelab.host("nas").run("iptables -I DOCKER-USER -j DROP")
    try:
        for name, folder in {"deb13": "docker", "newest": "containerd"}.items():
            homelab.host(name).run(f"rm /etc/{folder}/certs.d/{NAME}/ca.crt")
        ran = homelab.deployment.run("-y", *(f"--limit={name}" for name in ("nas", "deb13", "newest")))
    finally:
        homelab.host("nas").run("iptables -D DOCKER-USER -j DROP")
    assert ran.exit_code == 1
    address = homelab.host("nas").address
    unseen = f"  Registry     https://{NAME}  ({address}, on nas)\n               no other host was seen to reach it\n"
    assert unseen in ran.output
    words = f"see whether a firewall on nas or on the way keeps port 443 of {address} from it"
    assert {line.split()[0] for line in ran.problems if words in line} == {"[deb13]", "[newest]"}
    assert any(f"[deb13] Docker does not reach {NAME}: " in line for line in ran.problems)
    assert ran.trusted_by("Docker") == ["nas"]
    again = homelab.deployment.run()
    assert (again.exit_code, again.steps) == (0, []), again.output
    assert "no other host was seen to reach it" not in again.output
    assert "deb13" in again.trusted_by("Docker")
    # Those that were kept out are asked once more, and nobody else.
    assert {name: len(again.commands_on(name)) for name in RECIPES} == {
        "nas": 3, "deb12": 3, "deb13": 4, "newest": 3,
    }  # fmt: skip


PROXY = """
import http.server
class Refusing(http.server.BaseHTTPRequestHandler):
    def do_CONNECT(self):
        self.send_error(403)
http.server.HTTPServer(('127.0.0.1', 3128), Refusing).serve_forever()
"""


def test_a_proxy_in_the_way_is_named_with_its_file_and_the_entry_to_add(homelab: Homelab) -> None:
    host, drop_in = homelab.host("deb13"), "/etc/systemd/system/docker.service.d/http-proxy.conf"
    proxied = "systemctl daemon-reload && systemctl reset-failed docker && systemctl restart docker"
    host.write("/run/proxy.py", PROXY)
    host.run("systemd-run -q --unit=proxy python3 /run/proxy.py")
    host.write(
        drop_in,
        '[Service]\nEnvironment="HTTPS_PROXY=http://me:secret@127.0.0.1:3128" "NO_PROXY=10.0.0.0/8"\n',
    )
    try:
        host.run(proxied)
        host.wait_until("ss -ltn | grep -q :3128", 30, "the proxy")
        ran = homelab.deployment.run("-y", "-vvv")
        verified = homelab.deployment.verify("-k", "login_by_every_name and deb13]")
        host.run(f"sed -i 's|10.0.0.0/8|10.0.0.0/8,{NAME}|' {drop_in}; {proxied}")
        again = homelab.deployment.run()
    finally:
        host.run(f"systemctl stop proxy; rm -r {drop_in.rpartition('/')[0]} /run/proxy.py; {proxied}")
    assert (ran.exit_code, ran.steps) == (1, []), ran.output
    assert "secret" not in ran.output
    assert ran.problems == [
        f"[deb13] Docker asks a proxy for {NAME} (HTTPS_PROXY in {drop_in}), and got: Forbidden; "
        f"add {NAME} to NO_PROXY there, restart Docker (systemctl restart docker), and run again"
    ]
    assert (verified.returncode, f"; add {NAME} to NO_PROXY" in verified.stdout) == (1, True), verified.stdout
    assert (again.exit_code, again.steps) == (0, []), again.output
    assert "deb13" in again.trusted_by("Docker")


# Each runtime by its own client.


def docker_pull(host: BenchHost, image: str) -> Result:
    host.run(f"docker rmi -f {image}", check=False)
    return host.run(f"docker pull {image}", check=False, timeout=120)


def docker_build(host: BenchHost, image: str) -> Result:
    """Restart Docker first: BuildKit reuses its registry connections for minutes (buildkit, util/resolver/pool.go)."""
    host.run(
        f"docker rmi -f {image} built; docker builder prune -af; systemctl reset-failed docker; systemctl restart docker",
        check=False,
    )
    host.wait_until("docker info", 60, "Docker Engine")
    command = "docker build --pull -t built -"
    return host.run(
        command, stdin=f"FROM {image}\nCOPY --from={image} /hello /again\n", check=False, timeout=120
    )


def podman_pull(host: BenchHost, image: str) -> Result:
    host.run(f"podman rmi -f {image}", check=False)
    return host.run(f"podman pull {image}", check=False, timeout=120)


def skopeo(host: BenchHost, image: str) -> Result:
    return host.run(f"skopeo inspect docker://{image}", check=False, timeout=120)


def log_in(homelab: Homelab, name: str, program: str) -> None:
    command = f"{program} login -u cluster --password-stdin {NAME}"
    homelab.host(name).run(command, stdin=password(homelab.deployment, "cluster"))


@dataclass(frozen=True)
class Client:
    """A client program on a host; `certs` is the folder with the CAs that it trusts."""

    host: str
    kind: str
    certs: str

    @property
    def file(self) -> str:
        """The path of our CA."""
        return f"{self.certs}/" + ("homelab-registry-ca.crt" if self.kind == "k3s" else f"{NAME}/ca.crt")

    @property
    def remove_trust(self) -> str:
        """The command that removes the trust in our registry."""
        if self.kind == "k3s":
            return r"sed -i '/ca_file/d; s/^\( *tls:\) *$/\1 {}/' registries.yaml"
        return f"rm -r {NAME}"

    @property
    def trust_other_name(self) -> str:
        """The command that makes the client trust our CA for the other server name too."""
        if self.kind == "k3s":
            return f"sed -i s/{NAME}/{OTHER}/ registries.yaml"
        return f"cp -a {NAME} {OTHER} && find {OTHER} -name hosts.toml | xargs -r sed -i 's/{NAME}/{OTHER}/g'"


CLIENTS = [
    Client("deb12", "docker pull", DOCKER),
    Client("deb12", "docker build", DOCKER),
    Client("deb12", "cri", CONTAINERD),
    Client("deb12", "podman", CONTAINERS),
    Client("deb13", "docker pull", DOCKER),
    Client("deb13", "docker build", DOCKER),
    Client("deb13", "cri", CONTAINERD),
    Client("deb13", "podman", CONTAINERS),
    Client("deb13", "skopeo", CONTAINERS),
    Client("newest", "cri", CONTAINERD),
    Client("newest", "k3s", "/etc/rancher/k3s"),
]


def pull(homelab: Homelab, client: Client, registry: str = NAME) -> Result:
    host, image = homelab.host(client.host), f"{registry}/{IMAGE}"
    match client.kind:
        case "docker pull":
            return docker_pull(host, image)
        case "docker build":
            return docker_build(host, image)
        case "podman":
            return podman_pull(host, image)
        case "skopeo":
            return skopeo(host, image)
        case "k3s":
            host.give(REGISTRIES_PULL)
            return host.run(f"registries-pull /etc/rancher/k3s/registries.yaml {image}", check=False)
    host.give(CRI_PULL)
    host.run(f"ctr -n k8s.io images rm {image}", check=False)
    login = f"cluster:{password(homelab.deployment, 'cluster')}"
    return host.run(f"cri-pull unix:///run/containerd/containerd.sock {image}", stdin=login, check=False)


@contextmanager
def temporarily_changed(host: BenchHost, folder: str, change: str) -> Iterator[None]:
    """Run a command that changes a folder, and restore the folder afterwards."""
    host.run(f"cp -a {folder} /tmp/kept && cd {folder} && {change}")
    try:
        yield
    finally:
        host.run(f"rm -rf {folder} && mv /tmp/kept {folder}")


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: f"{client.host} {client.kind}")
def test_a_pull_needs_our_ca_and_the_right_server_name(homelab: Homelab, client: Client) -> None:
    """Refusals are tested first: a runtime may reuse a connection that it has already verified."""
    host, certs = homelab.host(client.host), client.certs
    for program in ("docker", "podman"):
        if program in client.kind or (program, client.kind) == ("podman", "skopeo"):
            log_in(homelab, client.host, program)
    remove_other_trust(host, client)
    for change in (client.remove_trust, f"cat > {client.file} <<'EOF'\n{UNRELATED_CA}EOF"):
        with temporarily_changed(host, certs, change):
            refused = pull(homelab, client)
            assert refused.exit_code != 0
            assert UNKNOWN_CA in refused.stderr + refused.stdout, refused
    with temporarily_changed(host, certs, client.trust_other_name):
        refused = pull(homelab, client, OTHER)
        assert refused.exit_code != 0
        assert WRONG_NAME in refused.stderr + refused.stdout, refused
    worked = pull(homelab, client)
    assert worked.exit_code == 0, worked.stderr


def remove_other_trust(host: BenchHost, client: Client) -> None:
    """Remove our CA from the system's store, and for Podman and Skopeo from Docker's folder, which they read too."""
    store = "/usr/local/share/ca-certificates/homelab-registry.crt"
    if host.run(f"test -e {store}", check=False).exit_code == 0:
        host.run(f"rm {store} && update-ca-certificates")
        for unit in ("containerd", "docker"):  # they read the store only when they start
            host.run(f"systemctl restart {unit}", check=False)
    if client.certs == CONTAINERS:
        host.run(f"rm -rf {DOCKER}")


def test_init_says_how_each_host_is_reached_and_what_it_has(homelab: Homelab, tmp_path: Path) -> None:
    """As `make init` with arguments; `known_hosts` alone is not the user's."""
    fleet, key = homelab.fleet, homelab.fleet.data["nas"]["ssh_key"]
    fleet.hosts["deb12"].run(
        "install -D -o worker -m 0600 /root/.ssh/authorized_keys /home/worker/.ssh/authorized_keys"
    )
    wrapper, known = tmp_path / "bin/ssh", tmp_path / "known_hosts"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F none -o UserKnownHostsFile={known} "$@"\n')
    wrapper.chmod(0o755)
    at = {name: host.address for name, host in fleet.hosts.items()}
    hosts = (
        f"registry=nas=op@{at['nas']}",
        f"docker_hosts=nas,deb12=worker@{at['deb12']}",
        f"cluster_nodes=deb13=nobody@{at['deb13']},newest=root@{at['newest']}",
    )
    ran = subprocess.run(
        [sys.executable, "-m", "tasks.init", "--name", "lab", "--home", str(tmp_path), "--key", str(key), *hosts],
        env={**os.environ, "PATH": f"{wrapper.parent}:{os.environ['PATH']}"}, cwd=ROOT, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    try_it = f"try it: ssh -i {key} {{}}@{{}} sudo -n true"
    assert ran.stdout.splitlines()[:4] == [
        "nas: logged in, root by sudo; Docker",
        "deb12: neither root nor passwordless sudo; log in as root, or allow it in /etc/sudoers.d "
        f"(USER ALL=(ALL) NOPASSWD: ALL); {try_it.format('worker', at['deb12'])}",
        f"deb13: nobody@{at['deb13']}: Permission denied (publickey,password); {try_it.format('nobody', at['deb13'])}",
        "newest: logged in, root; K3s",
    ]
    entry = f'("newest", {{"ssh_hostname": "{at["newest"]}", "ssh_user": "root", "ssh_key": "{key}"}}),'
    assert entry in (tmp_path / "inventories/lab.py").read_text()
