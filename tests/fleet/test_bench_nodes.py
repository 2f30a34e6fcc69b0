"""The bench's nodes: each runtime has the expected version, and pulls from a real registry."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import bcrypt
import docker
import pytest

from tasks.certificates import ca
from tasks.clients import mirrors
from tasks.clients.answers import Verdict
from tasks.clients.operations import AnswersFact
from tasks.clients.questions import of_mirror
from tasks.cluster_nodes import facts
from tasks.cluster_nodes.facts import ClusterNodeFact
from tasks.cluster_nodes.node import Node, NodeTarget
from tasks.cluster_nodes.runtimes import containerd_config, registries_mirrors, restarts
from tasks.cluster_nodes.runtimes.containerd import CONFIG
from tasks.cluster_nodes.runtimes.containerd_config import CERTS, TWO_PATHS
from tasks.cluster_nodes.runtimes.k3s_rke2 import K3S
from tasks.cluster_nodes.runtimes.table import RUNTIMES
from tasks.docker_hosts import plan as docker_hosts
from tasks.docker_hosts.facts import DockerHostFact
from tasks.docker_hosts.plan import DockerTarget
from tasks.remote.steps import Conflict, Step
from tasks.settings.load import HostSettings, Settings
from tests.bench import fleet as fleet_module
from tests.bench.fleet import Fleet
from tests.bench.hosts import BenchHost, Result
from tests.bench.programs import CRANE, CRI_PULL, REGISTRIES_PULL, REGISTRY
from tests.bench.recipes import BOOKWORM, BOOKWORM_NODE, CONTAINERD23_NODE, TRIXIE_NODE
from tests.caches.hub import Hub
from tests.fleet import local_clusters

NAME = "registry.homelab.local"
CONTAINERD = "unix:///run/containerd/containerd.sock"
UNKNOWN = "certificate signed by unknown authority"
NODES = {recipe.name: recipe for recipe in (BOOKWORM_NODE, TRIXIE_NODE, CONTAINERD23_NODE)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nodes")


@pytest.fixture(scope="module")
def fleet(folder: Path) -> Iterator[Fleet]:
    """All nodes, and a bare host for the registry."""
    fleet = Fleet.start({"registry": BOOKWORM, **NODES}, folder, as_root=["registry"])
    yield fleet
    fleet.remove()


@dataclass(frozen=True)
class ServedImage:
    """An image in a registry that requires a login and has a certificate that nobody trusts yet."""

    image: str
    digest: str
    certificate: str
    login: str = "someone:a password"


@pytest.fixture(scope="module")
def served(fleet: Fleet, folder: Path) -> ServedImage:
    host = fleet.hosts["registry"]
    place = f"{host.address}:5000"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=bench", "-addext", f"subjectAltName=IP:{host.address}",
         "-keyout", "key", "-out", "certificate"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    deployment = ServedImage(f"{place}/some/app:1", "", (folder / "certificate").read_text())
    name, _, password = deployment.login.partition(":")
    host.write("/srv/certificate", deployment.certificate)
    host.write("/srv/key", (folder / "key").read_text(), "0600")
    host.write("/srv/htpasswd", f"{name}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()}\n")
    host.write("/srv/registry.yml", (
        "version: 0.1\n"
        "storage: {filesystem: {rootdirectory: /srv/storage}}\n"
        "auth: {htpasswd: {realm: bench, path: /srv/htpasswd}}\n"
        "http: {addr: ':5000', tls: {certificate: /srv/certificate, key: /srv/key}}\n"
    ))  # fmt: skip
    host.give(REGISTRY, CRANE, REGISTRIES_PULL)
    host.run("systemd-run -q -E OTEL_TRACES_EXPORTER=none --unit registry registry serve /srv/registry.yml")
    host.wait_until("ss -Htln 'sport = :5000' | grep -q .", 30, "the registry")
    crane = "SSL_CERT_FILE=/srv/certificate crane"
    host.run(f"{crane} auth login -u {name} --password-stdin {place}", stdin=password)
    host.run(f"cd /srv && tar -cf layer.tar certificate && {crane} append -f layer.tar -t {deployment.image}")
    digest = host.run(f"{crane} digest {deployment.image}").stdout.strip()
    host.run("rm -r ~/.docker")
    return ServedImage(deployment.image, digest, deployment.certificate)


def test_pyinfra_reaches_every_host_as_the_intended_user(fleet: Fleet, folder: Path) -> None:
    inventory = folder / "inventory.py"
    inventory.write_text(fleet.inventory({"registry": ["registry"], "docker_hosts": ["trixie-node"], "cluster_nodes": NODES}))  # fmt: skip
    ran = subprocess.run(
        [sys.executable, "-m", "pyinfra", "-y", str(inventory), "exec", "--", "echo in as $(id -un), then $(sudo -n id -un || echo nobody)"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    plain = re.sub(r"\x1b\[[0-9;]*m", "", ran.stdout)
    output = re.findall(r"\[(\S+)\] +in as (\w+), then (\w+)", plain)
    assert sorted(output) == sorted(
        [("registry", "root", "nobody"), *((name, "op", "root") for name in NODES)]
    )


def test_if_one_host_fails_to_boot_all_are_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def fails_once(host: BenchHost, _: Path) -> None:
        started.append(host.name)
        if "second" in host.name:
            raise AssertionError("it does not come up")

    monkeypatch.setattr(fleet_module, "allow_key", fails_once)
    with pytest.raises(AssertionError, match=r"^it does not come up$"):
        Fleet.start(dict.fromkeys(("first", "second", "third"), BOOKWORM), folder)
    assert len(started) >= 1
    names = {container.name for container in docker.from_env().containers.list(all=True, ignore_removed=True)}
    assert not names & set(started)


@pytest.mark.parametrize(
    ("name", "version", "default", "file"),
    [
        ("bookworm-node", "1.6", "2", "version = 2"),
        ("trixie-node", "2.1", "3", "version = 3"),
        ("containerd23-node", "2.3", "4", ""),
    ],
)
def test_each_containerd_has_the_expected_version_and_configuration(
    fleet: Fleet, name: str, version: str, default: str, file: str
) -> None:
    host = fleet.hosts[name]
    assert host.run("systemctl is-active containerd").stdout == "active\n"
    assert host.run("systemctl is-enabled containerd").stdout == "enabled\n"
    assert f" {version}." in host.run("ctr version").stdout.partition("Server:")[2].replace("Version: ", "")
    assert host.run("containerd config default | grep ^version").stdout == f"version = {default}\n"
    assert host.run("grep -h ^version /etc/containerd/config.toml", check=False).stdout.strip() == file
    assert host.run("containerd config dump >/dev/null").stderr == ""


def cri_pull(host: BenchHost, image: str, login: str = "", endpoint: str = CONTAINERD) -> Result:
    host.give(CRI_PULL)
    return host.run(f"cri-pull {endpoint} {image}", stdin=login, check=False)


def test_a_cri_pull_needs_the_certificate_and_the_login(fleet: Fleet, served: ServedImage) -> None:
    on_all_nodes(fleet, lambda host, _: check_cri_pull(host, served))


def on_all_nodes(fleet: Fleet, check: Callable[[BenchHost, str], None]) -> None:
    """Check all nodes at once, since most of the time systemd waits for a containerd."""
    with ThreadPoolExecutor(len(NODES)) as pool:
        list(pool.map(lambda name: check(fleet.hosts[name], name), NODES))


def check_cri_pull(host: BenchHost, served: ServedImage) -> None:
    refused = cri_pull(host, served.image, served.login)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert UNKNOWN in refused.stderr

    # The system's store is the one place that every version reads, whatever its configuration.
    host.write("/usr/local/share/ca-certificates/bench.crt", served.certificate)
    host.run("update-ca-certificates && systemctl restart containerd")
    anonymous = cri_pull(host, served.image)
    assert (anonymous.exit_code, anonymous.stdout) == (1, "")
    assert re.search(r"no basic auth credentials|401 Unauthorized", anonymous.stderr)
    wrong = cri_pull(host, served.image, "someone:else")
    assert wrong.exit_code == 1
    assert "401 Unauthorized" in wrong.stderr
    pulled = cri_pull(host, served.image, served.login)
    assert (pulled.exit_code, pulled.stderr) == (0, "")
    assert pulled.stdout.startswith("sha256:")
    assert served.image in host.run("ctr -n k8s.io images ls -q").stdout

    host.run(
        "rm /usr/local/share/ca-certificates/bench.crt && update-ca-certificates && systemctl restart containerd"
    )
    assert UNKNOWN in cri_pull(host, served.image, served.login).stderr


def test_cri_pull_reports_a_missing_runtime(fleet: Fleet) -> None:
    host = fleet.hosts["registry"]
    result = cri_pull(host, "registry.example/app:1", endpoint="unix:///run/none.sock")
    assert (result.exit_code, result.stdout) == (3, "")
    assert cri_pull(host, "registry.example/app:1", "no colon").exit_code == 2


def test_k3s_configuration_is_necessary_and_sufficient_for_a_pull(fleet: Fleet, served: ServedImage) -> None:
    host = fleet.hosts["registry"]
    place = served.image.partition("/")[0]
    name, _, password = served.login.partition(":")
    auth = f"auth: {{username: {name}, password: {password}}}"

    def pull(config: str) -> Result:
        host.write("/etc/rancher/k3s/registries.yaml", f'configs: {{"{place}": {{{config}}}}}\n', "0600")
        return host.run(f"registries-pull /etc/rancher/k3s/registries.yaml {served.image}", check=False)

    whole = pull(f"tls: {{ca_file: /srv/certificate}}, {auth}")
    assert (whole.exit_code, whole.stdout) == (0, f"{served.digest}\n"), whole.stderr
    no_trust = pull(auth)
    assert (no_trust.exit_code, no_trust.stdout) == (1, "")
    assert UNKNOWN in no_trust.stderr
    no_login = pull("tls: {ca_file: /srv/certificate}")
    assert (no_login.exit_code, no_login.stdout) == (1, "")
    assert "UNAUTHORIZED" in no_login.stderr


def test_containerd_pulls_with_the_files_that_the_workstation_kit_has_for_kind(
    fleet: Fleet, served: ServedImage
) -> None:
    on_all_nodes(fleet, lambda host, _: check_kind(host, served))


def check_kind(host: BenchHost, served: ServedImage) -> None:
    files = local_clusters.files_for(served.image.partition("/")[0], served.certificate)
    before = host.run(f"cat {CONFIG}", check=False).stdout
    local_clusters.configure_as_kind(host, files)
    assert UNKNOWN in cri_pull(host, served.image, served.login).stderr
    local_clusters.mount_as_kind(host, files)
    pulled = cri_pull(host, served.image, served.login)
    assert (pulled.exit_code, pulled.stderr) == (0, "")
    host.run(f"rm -r {CERTS} {CONFIG}")
    if before:
        host.write(CONFIG, before)
    host.run("rmdir --ignore-fail-on-non-empty /etc/containerd && systemctl restart containerd")


def test_k3s_pulls_with_the_file_that_the_workstation_kit_has_for_k3d(
    fleet: Fleet, served: ServedImage
) -> None:
    host, endpoint = fleet.hosts["registry"], served.image.partition("/")[0]
    name, _, password = served.login.partition(":")
    files = local_clusters.files_for(endpoint, served.certificate)
    registries = local_clusters.registries_of_k3d(files, endpoint, {"username": name, "password": password})
    host.write("/tmp/registries.yaml", registries, "0600")
    pull = f"registries-pull /tmp/registries.yaml {served.image}"
    assert host.run(pull, check=False).exit_code == 1
    host.write(local_clusters.K3D_CA, files["ca.crt"])
    assert host.run(pull).stdout == f"{served.digest}\n"


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("bookworm-node", "docker pull"),
        ("bookworm-node", "podman pull"),
        ("trixie-node", "docker pull"),
        ("trixie-node", "podman pull"),
        ("trixie-node", "skopeo inspect docker:/"),
    ],
)
def test_every_other_client_contacts_the_registry(
    fleet: Fleet, served: ServedImage, name: str, command: str
) -> None:
    image = f"/{served.image}" if command.startswith("skopeo") else f" {served.image}"
    result = fleet.hosts[name].run(command + image, check=False, timeout=120)
    assert result.exit_code != 0
    assert UNKNOWN in result.stderr


# How containerd takes what we do with its configuration, in the shapes that real files have.


@dataclass(frozen=True)
class Shape:
    """A configuration of a user's, and what a run does with it: a part of its conflict, or the `config_path` after it.

    PLUGIN stands for the name of the plugin that pulls. `drop` is imported from `conf.d`.
    """

    main: str
    drop: str = ""
    conflict: str | None = None
    path: str = CERTS


VERSION = "version = NUMBER\n"
IMPORT = 'imports = ["/etc/containerd/conf.d/*.toml"]\n'
TABLE = '[plugins."PLUGIN".registry]\n'
TLS = '[plugins."PLUGIN".registry.configs."mirror.example:5000".tls]\n'
BESIDE = "beside which containerd's CRI does not start"
ONE, TWO, THREE = "bookworm-node", "trixie-node", "containerd23-node"
EKS = f"""\
version = 2
root = "/var/lib/containerd"

[grpc]
address = "/run/containerd/containerd.sock"

[plugins."{containerd_config.CRI_2}".containerd]
discard_unpacked_layers = true

[plugins."{containerd_config.CRI_2}".registry]
config_path = "{TWO_PATHS}"

[plugins."{containerd_config.CRI_2}".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"""
SHAPES = {
    "an empty table tls": Shape(VERSION + TLS),
    "an empty table tls, and a config_path": Shape(f'{VERSION}{TABLE}config_path = "{CERTS}"\n{TLS}'),
    "another registry's CA": Shape(
        f'{VERSION}{TLS}ca_file = "/x.crt"\n', conflict="has inline registry configs"
    ),
    "another registry's login": Shape(f'{VERSION}{TLS.replace(".tls", ".auth")}username = "x"\n'),
    "a mirror": Shape(VERSION + TABLE.replace("]", '.mirrors."docker.io"]'), conflict=BESIDE),
    "two folders, as EKS has it": Shape(f'{VERSION}{TABLE}config_path = "{TWO_PATHS}"\n'),
    "two folders": Shape(
        f'{VERSION}{TABLE}config_path = "{CERTS}:/opt/certs.d"\n', conflict="not one absolute path"
    ),
    "a NVIDIA toolkit's file": Shape(IMPORT + VERSION, drop=f'{VERSION}{TABLE}config_path = ""\n'),
    "two folders in version 2, as EKS's nodeadm writes them": Shape(EKS, path=TWO_PATHS),
    "what containerd itself dumps": Shape(""),
}
EXCEPTIONS = {
    (ONE, "an empty table tls"): Shape("", conflict=BESIDE),
    (ONE, "an empty table tls, and a config_path"): Shape("", conflict=BESIDE),
    (ONE, "two folders, as EKS has it"): Shape("", path=TWO_PATHS),
    (ONE, "two folders"): Shape("", path=f"{CERTS}:/opt/certs.d"),
}
NOW = dt.datetime.now(dt.UTC)
AUTHORITY = ca.make_authority([NAME], 3650, NOW)
CA = AUTHORITY.certificate_pem


def plan(
    host: BenchHost, settings: Settings | None = None, runtimes: Sequence[str] = ("containerd",)
) -> list[Step]:
    """Return what a run would do for runtimes there, in the same look at the host."""
    settings = settings or Settings()
    names = [*settings.endpoints, *mirrors.names(settings)]

    def read(paths: list[str], texts: list[str]) -> Node:
        asked = host.run(ClusterNodeFact().command(names, None, paths, texts))
        return ClusterNodeFact().process(asked.stdout.splitlines())

    found = facts.read_node(names, read)
    target = NodeTarget(CA, "192.0.2.1", runtimes, mirror=mirrors.mirror(settings, HostSettings()))
    return [step for name in runtimes for step in RUNTIMES[name].steps(settings, target, found)]


def take(host: BenchHost, steps: list[Step]) -> None:
    for step in steps:
        host.run(step.script, stdin="" if step.stdin is None else f"{step.stdin}\n")


def cri_answers(host: BenchHost) -> bool:
    return " ok" in host.run("ctr plugins ls id==cri").stdout


def dumped_path(host: BenchHost) -> str:
    """Return the `config_path` that containerd itself reads."""
    says = tomllib.loads(host.run("containerd config dump 2>/dev/null").stdout)
    plugin = next(name for name in reversed(containerd_config.NAMES) if name in says["plugins"])
    return str(says["plugins"][plugin]["registry"]["config_path"])


def configure(host: BenchHost, main: str, drop: str) -> None:
    host.run("rm -rf /etc/containerd /var/lib/homelab-registry-before")
    host.write(CONFIG, main)
    if drop:
        host.write("/etc/containerd/conf.d/99-nvidia.toml", drop)
    host.run("systemctl reset-failed containerd; systemctl restart containerd")


def test_containerd_has_its_cri_with_each_shape_of_its_configuration(fleet: Fleet) -> None:
    on_all_nodes(fleet, check_shapes)


def check_shapes(host: BenchHost, name: str) -> None:
    before = host.run(f"cat {CONFIG}", check=False).stdout
    for shape, given in SHAPES.items():
        where = f"{name}: {shape}"
        number, plugin = ("2", containerd_config.CRI_2) if name == ONE else ("3", containerd_config.IMAGES)
        main, drop = (
            text.replace("NUMBER", number).replace("PLUGIN", plugin) for text in (given.main, given.drop)
        )
        main = main or host.run("containerd config default 2>/dev/null").stdout
        expected = EXCEPTIONS.get((name, shape), given)
        configure(host, main, drop)
        answered = cri_answers(host)
        if expected.conflict:
            with pytest.raises(Conflict) as raised:
                plan(host)
            assert expected.conflict in raised.value.problem, where
            assert host.read(CONFIG) == main, where
            continue
        assert answered, where
        take(host, plan(host))
        assert cri_answers(host), where
        assert dumped_path(host) == expected.path, where
        assert plan(host) == [], where
        assert host.run(f"test -e {restarts.KEPT}", check=False).exit_code == 1, where
        if drop:
            # Its owner removes it, or makes it anew.
            host.run("rm -r /etc/containerd/conf.d")
            assert dumped_path(host) == expected.path, where
    host.run("rm -r /etc/containerd")
    if before:
        host.write(CONFIG, before)
    host.run("systemctl reset-failed containerd; systemctl restart containerd")


def test_a_new_configuration_has_the_version_of_containerd_s_own(fleet: Fleet) -> None:
    host = fleet.hosts[THREE]
    assert host.run(f"test -e {CONFIG}", check=False).exit_code == 1
    taken = plan(host)
    take(host, taken)
    assert host.read(CONFIG).startswith("version = 4\n")
    assert cri_answers(host)
    assert dumped_path(host) == CERTS
    # As NVIDIA's toolkit adds it there.
    host.write("/etc/containerd/conf.d/99-nvidia.toml", "version = 4\n")
    host.write(CONFIG, IMPORT + host.read(CONFIG))
    host.run("systemctl restart containerd")
    assert cri_answers(host)
    assert plan(host) == []
    host.run("rm -r /etc/containerd && systemctl restart containerd")


@pytest.mark.parametrize("name", [TWO, THREE])
def test_a_configuration_that_containerd_does_not_come_up_with_is_put_back(fleet: Fleet, name: str) -> None:
    """In the place of a reason that nobody foresaw: a check of the owner's before each start."""
    host = fleet.hosts[name]
    before = host.run(f"cat {CONFIG}", check=False).stdout
    mine = f"# mine\n{before}"
    host.write(CONFIG, mine, "0640")
    host.run(f"chown 0:7 {CONFIG}; mkdir -p /etc/systemd/system/containerd.service.d")
    unit = "/etc/systemd/system/containerd.service.d/check.conf"
    host.write(unit, f"[Service]\nExecStartPre=sh -c '! grep -q certs.d {CONFIG}'\n")
    host.run("systemctl daemon-reload; systemctl restart containerd")
    *others, restart = plan(host)
    take(host, others)
    result = host.run(restart.script, check=False)
    assert result.exit_code == 1
    assert result.stderr.startswith("containerd did not come up with its new configuration (")
    assert result.stderr.count("\n") == 1
    assert cri_answers(host)
    assert host.run(f"cat {CONFIG}; stat -c %a:%u:%g {CONFIG}").stdout == f"{mine}640:0:7\n"
    # It is not tried again and again.
    with pytest.raises(Conflict, match="did not come up with our change"):
        plan(host)
    # As if the run had been killed before the CRI was asked.
    host.run(f"rm {restarts.KEPT}/*")
    take(host, [step for step in plan(host) if step.path == CONFIG])
    host.run("systemctl restart containerd", check=False)
    assert host.run("ctr plugins ls", check=False).exit_code != 0
    [step] = plan(host)
    assert step.text.startswith("ask containerd.service whether its CRI answers")
    assert host.run(step.script, check=False).exit_code == 1
    assert cri_answers(host)
    assert host.read(CONFIG) == mine
    host.run(f"rm -r {unit} {restarts.KEPT}; systemctl daemon-reload")
    take(host, plan(host))
    assert cri_answers(host)
    assert plan(host) == []
    host.run("rm -r /etc/containerd")
    if before:
        host.write(CONFIG, before)
    host.run("systemctl reset-failed containerd; systemctl restart containerd")


# The caches: a registry under the mirror's name, which reads no `?ns=`, before the fake of the public ones.

MIRROR = "mirror.homelab.local"
UNCACHED = Settings(registry_port=5443, registry_manage_hosts_file=False)
CACHED = Settings.model_validate(
    {**UNCACHED.model_dump(exclude_unset=True), "registry_caches": ["docker.io", "ghcr.io"]}
)
SERVICE = "the-mirror"
OURS = "find /etc/containerd/certs.d /etc/containers ! -type d -exec sha256sum {} + 2>/dev/null | sort"


@pytest.fixture
def hub(fleet: Fleet) -> Hub:
    """The fake of Docker Hub, and a mirror, with `library/cached` alone, and Docker Hub with the others."""
    host = fleet.hosts["registry"]
    leaf = ca.make_leaf(AUTHORITY, [MIRROR], 30, NOW)
    host.write("/srv/mirror/ca.crt", CA)
    host.write("/srv/mirror/leaf.pem", leaf.certificate_pem + CA)
    host.write("/srv/mirror/key.pem", leaf.key_pem, "0600")
    host.write("/srv/mirror/registry.yml", (
        "version: 0.1\n"
        "storage: {filesystem: {rootdirectory: /srv/mirror/storage}}\n"
        "http: {addr: ':5443', tls: {certificate: /srv/mirror/leaf.pem, key: /srv/mirror/key.pem}}\n"
    ))  # fmt: skip
    host.give(REGISTRY, CRANE)
    host.run(f"echo {host.address} {MIRROR} >> /etc/hosts")
    host.run(
        f"systemd-run -q -E OTEL_TRACES_EXPORTER=none --unit {SERVICE} registry serve /srv/mirror/registry.yml"
    )
    host.wait_until("ss -Htln 'sport = :5443' | grep -q .", 30, "the mirror")
    for name in ("library/cached", "docker.io/library/cached"):
        host.run(
            "cd /srv/mirror && tar -cf layer.tar ca.crt && SSL_CERT_FILE=/srv/mirror/ca.crt "
            f"crane append -f layer.tar -t {MIRROR}:5443/{name}:1"
        )
    made = Hub.start(host)
    for name in ("unknown", "away", "after"):
        made.add_all({f"{registry}/library/{name}:1": (1000,) for registry in ("docker.io", "ghcr.io")})
    return made


def pull_from_hub(host: BenchHost, name: str) -> None:
    """Pull an image of Docker Hub through the CRI, and with Podman and Docker if they are there."""
    image = f"docker.io/library/{name}:1"
    pulled = cri_pull(host, image)
    assert pulled.exit_code == 0, f"{host.name}: {pulled.stderr}"
    host.run(f"! command -v podman >/dev/null || podman pull -q {image}", timeout=60)
    host.run(f"! command -v docker >/dev/null || docker pull -q {image}", timeout=60)


DAEMON_JSON = "/etc/docker/daemon.json"
STORES = {"bookworm-node": "{}", "trixie-node": '{"features": {"containerd-snapshotter": true}}\n'}
"""The hosts with Docker, and how each stores images: by a graph driver, and in containerd."""


def docker_plan(host: BenchHost, settings: Settings) -> list[Step]:
    """Return what a run would do for Docker there."""
    mirror, fact = mirrors.mirror(settings, HostSettings()), DockerHostFact()
    found = fact.process(host.run(fact.command(settings, [], None, mirror)).stdout.splitlines())
    return docker_hosts.steps(settings, DockerTarget(CA, "192.0.2.1", mirror=mirror), found).steps


def use_with_docker(host: BenchHost, name: str) -> None:
    if name not in STORES:
        return
    host.write(DAEMON_JSON, STORES[name])
    host.run("systemctl restart docker")  # it reads the system's certificates once
    take(host, docker_plan(host, UNCACHED))
    if STORES[name] == "{}":
        see_a_refused_reload(host)
    first = host.run("systemctl show -p InvocationID docker").stdout
    take(host, docker_plan(host, CACHED))
    assert docker_plan(host, CACHED) == []
    assert host.run("systemctl show -p InvocationID docker").stdout == first


def take_back_from_docker(host: BenchHost, name: str) -> None:
    if name not in STORES:
        return
    take(host, docker_plan(host, UNCACHED))
    assert docker_plan(host, UNCACHED) == []
    assert host.read(DAEMON_JSON) == STORES[name]
    assert host.run("find /etc/docker/certs.d -type f").stdout == f"/etc/docker/certs.d/{NAME}:5443/ca.crt\n"
    assert host.run("docker info -f '{{json .RegistryConfig.Mirrors}}'").stdout.strip() in {"[]", "null"}


def see_a_refused_reload(host: BenchHost) -> None:
    """Docker takes no file that names what its arguments name too, and would not start with it either."""
    refused = '{"hosts": ["fd://"]}'
    host.write(DAEMON_JSON, refused)
    (step,) = (each for each in docker_plan(host, CACHED) if each.path == DAEMON_JSON)
    done = host.run(step.script.replace("+ 20)", "+ 1)"), stdin=f"{step.stdin}\n", check=False)
    assert (done.exit_code, host.read(DAEMON_JSON)) == (1, refused)
    assert "so the file from before is back; see journalctl -u docker" in done.stderr
    host.write(DAEMON_JSON, "{}")


def test_runtimes_pull_through_the_caches_and_without_them(fleet: Fleet, hub: Hub) -> None:
    before: dict[str, str] = {}

    def use(host: BenchHost, name: str) -> None:
        host.run(f"echo {hub.address} {MIRROR} >> /etc/hosts")
        hub.serve(host)
        take(host, plan(host, UNCACHED, ("containerd", "podman")))
        host.run("systemctl restart containerd")  # it reads the system's certificates once
        before[name] = host.run(OURS).stdout
        first = host.run("systemctl show -p InvocationID containerd").stdout
        take(host, plan(host, CACHED, ("containerd", "podman")))
        assert plan(host, CACHED, ("containerd", "podman")) == []
        asked = [
            of_mirror("x", f"{MIRROR}:5443", MIRROR, 5443, f"{folder}/{MIRROR}:5443/ca.crt")
            for folder in (CERTS, "/etc/containers/certs.d")
        ]
        said = AnswersFact().process(host.run(AnswersFact().command(asked)).stdout.splitlines())
        assert said == [Verdict("trusts")] * 2
        use_with_docker(host, name)
        pull_from_hub(host, "cached")
        assert host.run("systemctl show -p InvocationID containerd").stdout == first

    def k3s_pull(name: str) -> None:
        """Pull from ghcr.io as K3s' own module does, with nothing but our entries."""
        result = hub.host.run(f"registries-pull {K3S.registries} ghcr.io/library/{name}:1", check=False)
        assert result.exit_code == 0, result.stderr

    on_all_nodes(fleet, use)
    hub.serve(hub.host)
    hub.host.give(REGISTRIES_PULL)
    used = mirrors.mirror(CACHED, HostSettings())
    hub.host.write(
        K3S.registries, registries_mirrors.merge("", used, "/srv/mirror/ca.crt", K3S.registries), "0600"
    )
    k3s_pull("cached")
    assert hub.asked_for() == []
    log = hub.host.run(f"journalctl -u {SERVICE} -o cat").stdout
    hint = r'remoteaddr="?([\d.]+).*uri="?/v2/(\S*)/manifests/1(?:[?]ns=([a-z.]+))?"? '
    asked = set(re.findall(hint, log))
    assert (hub.address, "library/cached", "ghcr.io") in asked  # K3s
    through_cri = {(fleet.hosts[name].address, "library/cached", "docker.io") for name in NODES}
    by_podman = {(fleet.hosts[name].address, "docker.io/library/cached", "") for name in (ONE, TWO)}
    by_docker = {
        (fleet.hosts[ONE].address, "library/cached", "")
    }  # a graph driver has a mirror of Docker Hub alone
    # What says neither is taken for an image of Docker Hub, and of another registry it would be the wrong one.
    assert {each for each in asked if each[0] != hub.address} == through_cri | by_podman | by_docker
    on_all_nodes(fleet, lambda host, _: pull_from_hub(host, "unknown"))
    k3s_pull("unknown")
    hub.host.run(f"systemctl stop {SERVICE}")
    on_all_nodes(fleet, lambda host, _: pull_from_hub(host, "away"))
    k3s_pull("away")
    assert set(hub.asked_for()) == {
        f"{registry}/library/{name}" for registry in ("docker.io", "ghcr.io") for name in ("unknown", "away")
    }

    def take_back(host: BenchHost, name: str) -> None:
        take(host, plan(host, UNCACHED, ("containerd", "podman")))
        assert plan(host, UNCACHED, ("containerd", "podman")) == []
        take_back_from_docker(host, name)
        assert host.run(OURS).stdout == before[name]
        pull_from_hub(host, "after")
        host.run("rm -r /etc/containerd/certs.d && systemctl restart containerd")

    on_all_nodes(fleet, take_back)
