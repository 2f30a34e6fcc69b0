"""`make verify` on a mixed inventory: it passes, and names the host and file of what was removed by hand."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.room.facts import UsedImagesFact
from tasks.room.uses import Uses
from tasks.settings.caches import HUB
from tests.bench import registry_images
from tests.bench.fleet import Fleet
from tests.bench.programs import CRI_PULL, CRICTL
from tests.bench.recipes import BOOKWORM_NODE, TRIXIE_NODE
from tests.caches.hub import Hub
from tests.fleet.deployment import Deployment
from tests.fleet.tracing import Needles, Reader

NAME = "registry.homelab.local"
DOCKER, CONTAINERD, PODMAN = (
    f"/etc/{each}/certs.d/{NAME}/ca.crt" for each in ("docker", "containerd", "containers")
)
USERS, ROOTS = "/home/op/.docker/config.json", "/root/.config/containers/auth.json"
STORE = "/usr/local/share/ca-certificates/homelab-registry.crt"
UNTRUSTED = "certificate signed by unknown authority"
HOSTS_TOML = CONTAINERD.replace("ca.crt", "hosts.toml")

LEFTOVERS = (
    "docker images --format '{{.Repository}}'; podman images -q; ctr -n k8s.io images ls -q; ctr namespaces ls -q | grep -vx k8s.io; ls /etc/docker/certs.d; "
    "find /tmp /root /home/op -name '*homelab-verify*'"
)
"""The command that lists what a verification could leave behind. `k8s.io` is there once anything was pulled through the CRI."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("verify")


@pytest.fixture(scope="module")
def fleet(folder: Path) -> Iterator[Fleet]:
    """A registry host that is also a node, and a node with newer runtimes; each has a different CRI client."""
    fleet = Fleet.start({"nas": BOOKWORM_NODE, "node": TRIXIE_NODE}, folder)
    fleet.hosts["nas"].give(CRICTL)
    fleet.hosts["node"].give(CRI_PULL)
    yield fleet
    fleet.remove()


@pytest.fixture(scope="module")
def hub(fleet: Fleet) -> Hub:
    """A fake of Docker Hub on the node, which the registry host takes for it, and no other host."""
    made = Hub.start(fleet.hosts["node"])
    made.serve(fleet.hosts["nas"])
    return made


@pytest.fixture(scope="module")
def deployment(fleet: Fleet, folder: Path, hub: Hub) -> Deployment:
    """Everything, deployed once: Docker, containerd and Podman on both hosts, and the system's trust store on one."""
    registry_images.load(fleet.hosts["nas"], caches=True)
    for host in fleet.hosts.values():
        host.wait_until("docker info", 60, "Docker Engine")
        host.run("usermod -aG docker op")
    settings: dict[str, dict[str, object]] = {
        "nas": {"registry_system_trust": True},
        "node": {"registry_node_login": True, "registry_login_users": {"op": "ci"}},
    }
    both = [(name, {**fleet.data[name], **settings[name]}) for name in fleet.hosts]
    hosts = f"registry = [{both[0]!r}]\ndocker_hosts = {both!r}\ncluster_nodes = {both!r}\n"
    deployment = Deployment(folder, hosts, registry_login_users=["op"], registry_caches=[HUB])
    ran = deployment.run()
    assert ran.exit_code == 0, ran.output
    return deployment


def test_no_program_on_a_node_is_given_a_password(fleet: Fleet, deployment: Deployment) -> None:
    """Trace every program that a verification starts on the node, from sshd on."""
    host, passwords = fleet.hosts["node"], deployment.store.read().passwords
    sshd = host.run("systemctl show -p MainPID --value ssh").stdout.strip()
    trace = f"strace -f -qq -v -s 65536 -e trace=execve,execveat -o /root/trace -p {sshd}"
    host.run(f"systemd-run -q --unit trace {trace}")
    host.wait_until(f"grep -q 'TracerPid:.*[1-9]' /proc/{sshd}/status", 30, "strace")
    verified = deployment.verify("-k", "(runtime_pulls or users_pull) and node]")
    host.run("systemctl stop trace")
    assert verified.returncode == 0, verified.stdout
    reader = Reader(Needles({password: f"the password of {name}" for name, password in passwords.items()}))
    lines = host.read("/root/trace").splitlines()
    reader.read(lines)
    for program in ("podman", "skopeo", "cri-pull", "docker"):
        assert any("execve(" in line and f'"{program}"' in line and line.endswith("= 0") for line in lines), (
            program
        )
    assert reader.exposed == []


def test_a_mixed_inventory_passes_and_nothing_is_left(fleet: Fleet, deployment: Deployment) -> None:
    """What is run on clients; tests/chain has the rest as well."""
    before = {name: host.run(LEFTOVERS).stdout for name, host in fleet.hosts.items()}
    verified = deployment.verify("-vv", "-k", "test_client_hosts or test_docker_hosts or test_cluster_nodes")
    assert verified.returncode == 0, verified.stdout
    assert re.search(r"^=+ \d+ passed, \d+ deselected in ", verified.stdout, re.MULTILINE)  # none skipped
    repeated = set(re.findall(r"::(\w+)\[(?:no CA-)?(nas|node)(?:-no CA)?\] PASSED", verified.stdout))
    both = {
        "test_each_runtime_pulls",
        "test_users_pull_without_logging_in",
        "test_names_lead_to_the_registry",
    }
    assert {(test, host) for test in both for host in fleet.hosts} <= repeated
    only = {"test_each_runtime_checks_the_certificate": "node", "test_a_certificate_is_checked": "node",
            "test_the_system_trusts_the_registry": "nas"}  # fmt: skip
    assert {(test, host) for test, host in repeated if test in only} == set(only.items())
    assert {name: host.run(LEFTOVERS).stdout for name, host in fleet.hosts.items()} == before


def test_each_runtime_has_images_from_the_caches_and_keeps_none(
    fleet: Fleet, deployment: Deployment, hub: Hub
) -> None:
    """While Docker Hub is away it is named, and not the caches. Then it is asked once for all."""
    image = hub.add(f"{HUB}/library/hello-world:latest", 4096)
    with hub.behaving(down=True):
        away = deployment.verify("-k", "from_home and nas]")
    assert away.returncode == 1, away.stdout
    said = f"nas: {HUB} does not answer, or sends something else, for {image.reference}, so that "
    lines = [line for line in away.stdout.splitlines() if line.endswith("]]")]
    assert [line.startswith(said) for line in lines] == [True, True], away.stdout
    before = {name: host.run(LEFTOVERS).stdout for name, host in fleet.hosts.items()}
    fleet.hosts["nas"].run(
        "docker restart -t 1 homelab-registry-cache"
    )  # else it is not asked for ten seconds
    hub.reset()
    verified = deployment.verify("-k", "from_home")
    assert verified.returncode == 0, verified.stdout
    assert re.search(r"^4 passed, \d+ deselected in ", verified.stdout, re.MULTILINE), verified.stdout
    assert hub.counters().manifest_gets == 2  # the index and the manifest
    assert {name: host.run(LEFTOVERS).stdout for name, host in fleet.hosts.items()} == before


def test_a_registry_host_that_is_switched_off_does_not_hold_pulls_up(
    fleet: Fleet, deployment: Deployment
) -> None:
    """containerd 2.1 goes on to Docker Hub, which is not there: it would wait 30 seconds by itself."""
    nas, node = fleet.hosts["nas"], fleet.hosts["node"]
    rule = f"PREROUTING -s {node.address} -p tcp --dport 443 -j DROP"
    nas.run(f"iptables -t raw -I {rule}")
    began = time.monotonic()
    pulled = node.run("cri-pull unix:///run/containerd/containerd.sock docker.io/library/gone:1", check=False)
    seconds = time.monotonic() - began
    nas.run(f"iptables -t raw -D {rule}")
    assert pulled.exit_code == 1
    assert "i/o timeout" in pulled.stderr
    assert 3 <= seconds < 15


def test_a_node_without_a_client_of_the_cri_is_asked_with_ctr(fleet: Fleet, deployment: Deployment) -> None:
    """Its own test of the folder that is in force: without our files there `ctr` refuses the certificate."""
    host, selected = fleet.hosts["node"], ("-k", "runtime and node]")
    before = host.run(LEFTOVERS).stdout
    host.run("mv /usr/local/bin/cri-pull /root/")
    try:
        verified = deployment.verify(*selected)
        assert verified.returncode == 0, verified.stdout
        host.run(f"mv {Path(CONTAINERD).parent} /root/taken")
        without = deployment.verify(*selected)
        host.run(f"mv /root/taken {Path(CONTAINERD).parent} && chmod a-x /usr/bin/ctr")
        not_asked = deployment.verify(*selected)
    finally:
        host.run("chmod a+x /usr/bin/ctr && mv /root/cri-pull /usr/local/bin/")
    assert re.search(rf"node: containerd cannot pull from {NAME} \(.*{UNTRUSTED}\)", without.stdout), (
        without.stdout
    )
    assert not_asked.returncode == 0, not_asked.stdout
    said = "node: containerd was not asked, since there is no crictl (cri-tools)"
    assert not_asked.stdout.splitlines().count(said) == 1, not_asked.stdout
    assert host.run(LEFTOVERS).stdout == before


def test_empty_groups_collect_no_tests(fleet: Fleet, deployment: Deployment, tmp_path: Path) -> None:
    alone = Deployment(
        tmp_path,
        f"registry = [{('nas', fleet.data['nas'])!r}]\n",
        registry_state_dir=str(deployment.store.folder),
    )
    collected = alone.verify("--collect-only").stdout
    assert "test_contract.py::" in collected
    assert not re.findall(r"test_(?:docker_hosts|cluster_nodes|client_hosts)|NOTSET", collected)


@pytest.mark.parametrize(
    ("host", "path", "off", "also"),
    [
        ("node", DOCKER, f"write {DOCKER}: it is missing", rf"node: docker login fails \(.*{UNTRUSTED}\)"),
        # The certificate beside it is still enough for pulls: only the comparison finds the difference.
        ("node", HOSTS_TOML, f"write {HOSTS_TOML}: it is missing", ""),
        ("node", PODMAN, f"write {PODMAN}: it is missing", rf"node: Podman cannot pull from {NAME} \(.*{UNTRUSTED}\)"),
        (
            "node", str(Path(CONTAINERD).parent), f"make {Path(CONTAINERD).parent}: it is missing, and 2 more",
            rf"node: containerd cannot pull from {NAME} \(.*{UNTRUSTED}\)",
        ),
        ("node", ROOTS, f"write {ROOTS}: it is missing", r"node: Podman cannot pull with the node's own login \(.*\)"),
        ("nas", USERS, f"write {USERS}: op has no login for {NAME}", r"nas: op cannot pull without logging in \(.*\)"),
        ("nas", STORE, f"write {STORE}: it is missing, and 1 more", ""),
        (
            "nas", "/etc/hosts", "write /etc/hosts: our entry is missing",
            f"nas: {NAME} resolves to no address, not to ",
        ),
    ],
)  # fmt: skip
def test_what_was_removed_is_named(
    fleet: Fleet, deployment: Deployment, host: str, path: str, off: str, also: str
) -> None:
    """Remove one file at a time, check the lines of `make verify`, and put the file back."""
    take, bring = f"mv {path} /root/taken", f"mv /root/taken {path}"
    if path == "/etc/hosts":  # a mount in a container
        take = "cp /etc/hosts /root/taken && grep -v homelab-registry /root/taken > /etc/hosts"
        bring = "cat /root/taken > /etc/hosts && rm /root/taken"
    fleet.hosts[host].run(take)
    try:
        verified = deployment.verify("-k", f"(deployed or pull or names_lead) and {host}]")
    finally:
        fleet.hosts[host].run(bring)
    assert verified.returncode == 1, verified.stdout
    lines = re.findall(rf"^({host}: .*); run make deploy.*\[test_.*\]$", verified.stdout, re.MULTILINE)
    assert f"{host}: differs from what was deployed ({off})" in lines, verified.stdout
    assert not also or any(re.match(also, line) for line in lines), verified.stdout


def test_what_its_engines_use_is_read_also_if_it_is_stopped(fleet: Fleet, deployment: Deployment) -> None:
    """Each engine has a container that was never started, of an image with a name of ours."""
    host, fact = fleet.hosts["node"], UsedImagesFact()

    def read() -> Uses:
        return fact.process(host.run(fact.command()).stdout.splitlines())

    create = f"podman import - {NAME}/by/podman:1 && podman create --name waits {NAME}/by/podman:1 x"
    host.run(
        "cd /root && echo x > x && tar cf x.tar x && useradd -m -s /bin/sh eve && sed -i /^eve:/d /etc/sub?id"
    )
    host.run(
        f"docker import /root/x.tar {NAME}/by/docker:1 && docker create --name waits {NAME}/by/docker:1 x"
    )
    host.run(f"{create} < /root/x.tar")
    host.run(
        f"su - eve -c '{create.replace('by/', 'by/eve-').replace('podman ', 'podman --storage-driver=vfs ')}' < /root/x.tar"
    )
    host.run(
        f"docker save {NAME}/by/docker:1 | ctr -n k8s.io images import --no-unpack - && "
        f"ctr -n k8s.io images tag {NAME}/by/docker:1 {NAME}/by/ctr:1 && ctr -n k8s.io containers create {NAME}/by/ctr:1 waits"
    )
    found = read()
    assert found.unread == ()
    assert found.pods_on
    by = {(use.text.removeprefix(f"{NAME}/by/"), use.by) for use in found.found}
    assert by >= {
        ("docker:1", "container waits"),
        ("podman:1", "container waits"),
        ("eve-podman:1", "eve's container waits"),
        ("ctr:1", "container waits (k8s.io)"),
    }
    docker = host.run(f"docker image inspect -f '{{{{.Id}}}}' {NAME}/by/docker:1").stdout.strip()
    podman = host.run(f"podman image inspect -f '{{{{.Digest}}}}' {NAME}/by/podman:1").stdout.strip()
    for digest in (docker, podman):
        assert any(digest in use.text for use in found.found), digest
    host.run("systemctl stop docker.socket docker containerd")
    off = read()
    host.run("systemctl start containerd docker.socket docker && docker rm waits")
    assert off.unread == (
        "Docker Engine: it is off, and has containers in /var/lib/docker",
        "containerd at /run/containerd/containerd.sock: it is off, and may have containers",
    )


OWN = [
    (
        "node",
        HOSTS_TOML.replace(NAME, HUB),
        '# mine\n[host."https://cache.lan"]\n',
        "line 2 asks https://cache.lan",
    ),
    (
        "nas",
        "/etc/containers/registries.conf.d/99-mine.conf",
        f'# mine\n[[registry]]\nprefix = "{HUB}"\nlocation = "cache.lan/hub"\n',
        f"line 3 says where {HUB} is",
    ),
    (
        "node",
        "/etc/docker/daemon.json",
        '{\n  "registry-mirrors": ["https://cache.lan"]\n}\n',
        'line 2 has "https://cache.lan" in registry-mirrors',
    ),
]
"""Mirrors that a user has: on which host, in which file, and what a run says of it. Docker's comes before a node's."""


@pytest.mark.parametrize("added", [OWN[:2], OWN[2:]], ids=["nodes", "Docker"])
def test_mirrors_of_the_user_s_are_quoted_and_left_alone(
    fleet: Fleet, deployment: Deployment, added: list[tuple[str, str, str, str]]
) -> None:
    """A run goes on with all else: with other hosts, and with the role before on the same host."""
    for host, path, text, _ in added:
        fleet.hosts[host].write(path, text)
    fleet.hosts["nas"].run(f"rm {DOCKER}")
    ran = deployment.run()
    assert ran.exit_code == 1, ran.output
    for host, path, text, said in added:
        assert any(line.startswith(f"[{host}] {path} {said}") for line in ran.problems), ran.output
        assert fleet.hosts[host].read(path) == text
    assert len(ran.problems) == 2, ran.output
    assert ran.steps == [f"write {DOCKER}: it is missing"]
