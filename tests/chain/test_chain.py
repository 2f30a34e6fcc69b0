"""The whole chain on real hosts: each test continues with the hosts as the test before left them.

Two hosts, over SSH and with sudo: `nas` has the registry and is a Docker host, `node` is a Docker host and a cluster node
with containerd 1.6 and Podman. The first run is killed, and the next one finishes it.
"""

from __future__ import annotations

import base64
import getpass
import json
import re
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.x509 import load_pem_x509_certificates

from tests import printed
from tests.bench.fleet import Fleet
from tests.bench.hosts import BenchHost, Result
from tests.bench.recipes import BOOKWORM_NODE
from tests.chain.fake_hub import TEXT, hub
from tests.fleet.deployment import ROOT, Deployment, RunResult
from tests.fleet.leaf import fingerprint_in_state, served_fingerprint
from tests.fleet.on_disk import half_written, listing, temporary_files

VERIFY = Path(__file__).parents[1] / "verify"
NAME = "registry.homelab.local"
IMAGE = f"{NAME}/team/app:v1"
FIRST = "first-output"
"""The file with what the first run that came to its end has printed."""

LOGIN = "/root/.docker/config.json"
NGINX = "/etc/homelab-registry/gateway/nginx.conf"
DOCKER, CONTAINERD, CONTAINERS = (
    f"/etc/{name}/certs.d/{NAME}" for name in ("docker", "containerd", "containers")
)

CRI = "unix:///run/containerd/containerd.sock"
PULL_COMMANDS = {
    "Docker": f"docker rmi -f {IMAGE}; docker pull -q {IMAGE}",
    "containerd": f"cri-pull --remove {CRI} {IMAGE}; cri-pull {CRI} {IMAGE}",
    "Podman": f"podman rmi -f {IMAGE}; podman pull -q {IMAGE}",
}
"""Commands by runtime, on `node`. Docker and Podman are logged in; containerd gets a login with each request, as from a kubelet."""

TRUST = {"Docker": [DOCKER], "containerd": [CONTAINERD], "Podman": [CONTAINERS, DOCKER]}
"""The folders in which each runtime finds our CA; Podman also reads Docker's."""


@dataclass(frozen=True)
class Home:
    """The hosts and the deployment on them."""

    fleet: Fleet
    deployment: Deployment

    @property
    def nas(self) -> BenchHost:
        return self.fleet.hosts["nas"]

    @property
    def node(self) -> BenchHost:
        return self.fleet.hosts["node"]

    def run(self, *arguments: str, deploy: str = "deploy.py") -> RunResult:
        ran = self.deployment.run(*arguments, deploy=deploy)
        assert ran.exit_code == 0, ran.output
        return ran

    def password(self, account: str) -> str:
        return self.deployment.store.password_path(account).read_text().strip()

    def pull(self, runtime: str) -> Result:
        """Pull with a runtime of `node` as if for the first time."""
        return self.node.run(PULL_COMMANDS[runtime], stdin=f"cluster:{self.password('cluster')}", check=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("chain")
    fleet = Fleet.start(dict.fromkeys(("nas", "node"), BOOKWORM_NODE), folder)
    try:
        node = fleet.hosts["node"]
        node.run("apt-get update -q && apt-get install -q -y curl")  # for cri-pull
        node.write("/usr/local/bin/cri-pull", (Path(__file__).parent / "cri_pull.py").read_text(), "0755")
        for name in fleet.hosts:
            fleet.data[name] |= {"registry_login_users": ["root"]}  # type: ignore[dict-item]
        fleet.data["node"] |= {"registry_node_login": True}
        groups = {"registry": ["nas"], "docker_hosts": ["nas", "node"], "cluster_nodes": ["node"]}
        yield Home(fleet, Deployment(folder, fleet.inventory(groups)))
    finally:
        fleet.remove()


@pytest.fixture(scope="module")
def planned(home: Home) -> RunResult:
    """The plan of the first run."""
    return home.run("--dry")


def test_a_plan_lists_the_steps_and_writes_nothing(home: Home, request: pytest.FixtureRequest) -> None:
    before = {name: listing(host) for name, host in home.fleet.hosts.items()}
    planned: RunResult = request.getfixturevalue("planned")
    assert {name: listing(host) for name, host in home.fleet.hosts.items()} == before
    assert not home.deployment.store.folder.exists()
    for name in home.fleet.hosts:
        assert planned.steps_on(name), f"nothing to do on the fresh host {name}"
    assert f"{len(planned.steps)} steps; nothing was changed." in planned.output.splitlines()


def test_a_run_that_is_killed_leaves_nothing_half_written(home: Home, planned: RunResult) -> None:
    """The run is killed in the middle of the upload of the gateway's configuration."""
    facts = [line for line in planned.commands if " host" in line]
    steps = planned.steps_on("nas")
    upload = next(number for number, step in enumerate(steps, 1) if step.startswith(f"write {NGINX}: "))
    killed = home.deployment.run(kill_within=len(facts) + upload)
    assert killed.exit_code == -9, killed.output
    assert re.match(r"\d+ host\+ nas: ", killed.commands[-1]), killed.commands
    assert killed.steps_on("nas") == steps[: upload - 1]
    assert killed.steps_on("node") == []
    assert half_written(home.nas) == []
    assert home.nas.run(f"test -e {NGINX}", check=False).exit_code == 1


def test_the_next_run_finishes_the_killed_one(home: Home, planned: RunResult) -> None:
    hosts_files = {name: host.read("/etc/hosts") for name, host in home.fleet.hosts.items()}
    ran = home.run()
    assert ran.steps_on("node") == planned.steps_on("node")
    assert f"write {NGINX}: it is missing" in ran.steps_on("nas")
    assert [printed.row(ran.output, title) for title in ("Registry", "Trusted by", "Logged in")] == [
        f"https://{NAME}  ({home.nas.address}, on nas)",
        "nas, node (Docker) · node (containerd) · node (Podman)",
        "root on nas · root on node",
    ]
    (home.deployment.folder / FIRST).write_text(ran.output)
    for name, host in home.fleet.hosts.items():
        assert half_written(host) == []
        assert temporary_files(host, home.deployment.store.folder) == []
        assert host.read("/etc/hosts").startswith(hosts_files[name])


def test_the_commands_that_a_first_run_prints_push_an_image_as_they_stand(home: Home) -> None:
    commands = printed.to_paste((home.deployment.folder / FIRST).read_text(), "Push your first image")
    assert len(commands) == 2
    with hub(home.node):
        for command in commands:
            pasted = subprocess.run(
                ["sh", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
            )
            assert pasted.returncode == 0, (command, pasted)
    home.nas.run(f"docker pull -q {NAME}/alpine && docker create --name alpine {NAME}/alpine x")
    assert home.nas.run("docker cp alpine:/README - | tar -xO; docker rm alpine").stdout.startswith(
        TEXT.decode()
    )


def test_a_second_run_changes_nothing_says_why_and_needs_few_commands(home: Home) -> None:
    ran = home.run("-y", "-v")
    assert ran.steps == []
    assert len(ran.reasons) == 9, ran.reasons
    # One look at each host, and one fact for each of its roles.
    assert {name: len(ran.commands_on(name)) for name in home.fleet.hosts} == {"nas": 3, "node": 3}
    assert len(ran.commands) == 6, ran.commands
    assert printed.to_paste(ran.output, "Push your first image") == []
    without_v = [line for line in ran.output.splitlines() if not line.startswith("  = ")]
    assert len(without_v) <= 12 + len(home.fleet.hosts), ran.output


def test_a_plan_after_a_complete_run_has_no_steps(home: Home) -> None:
    ran = home.run("--dry")
    assert ran.steps == []
    assert re.search(r"^Nothing to do on 2 hosts \([\d.]+ s\)\.$", ran.output, re.MULTILINE)


def test_docker_pushes_an_image(home: Home) -> None:
    home.nas.run(
        f"docker --config /tmp/ci login -u ci --password-stdin {NAME} && echo mine > /tmp/hello "
        f"&& tar -c -C /tmp hello | docker import - {IMAGE} && docker --config /tmp/ci push -q {IMAGE}; "
        "code=$?; rm -rf /tmp/ci; exit $code",
        stdin=home.password("ci"),
    )


@pytest.mark.parametrize("runtime", PULL_COMMANDS)
def test_a_runtime_pulls_the_image_only_with_our_ca(home: Home, runtime: str) -> None:
    """The refusal is tested first: a runtime may reuse a connection that it has already verified."""
    folders = TRUST[runtime]
    home.node.run("; ".join(f"mv {folder} {folder}.away" for folder in folders))
    refused = home.pull(runtime)
    home.node.run("; ".join(f"mv {folder}.away {folder}" for folder in folders))
    assert refused.exit_code != 0
    assert "certificate signed by unknown authority" in refused.stderr, refused
    pulled = home.pull(runtime)
    assert pulled.exit_code == 0, pulled.stderr


def test_docker_pulls_what_was_pushed(home: Home) -> None:
    identity = f"docker image inspect -f '{{{{.Id}}}}' {IMAGE}"
    assert home.node.run(identity).stdout == home.nas.run(identity).stdout
    assert (
        home.node.run(
            f"docker create --name made {IMAGE} x >/dev/null && docker cp made:/hello - | tar -xO"
        ).stdout
        == "mine\n"
    )


def test_drift_is_fixed_exactly(home: Home) -> None:
    home.nas.run(f"chmod 0640 {NGINX}")
    home.node.run(f"echo x >> {CONTAINERD}/ca.crt; rm {DOCKER}/ca.crt")
    containers = start_times(home.nas)
    planned, ran = home.run("--dry"), home.run()
    for each in (planned, ran):
        assert each.steps_on("nas") == [f"set owner and mode of {NGINX}: its mode is 0640, not 0600"]
        assert each.steps_on("node") == [
            f"write {DOCKER}/ca.crt: it is missing",
            f"write {CONTAINERD}/ca.crt: its content is not as it should be",
        ]
        assert len(each.steps) == 3
    assert start_times(home.nas) == containers


# One rotation of each kind.


def start_times(host: BenchHost) -> str:
    return host.run(
        "docker inspect -f '{{.State.StartedAt}}' homelab-registry homelab-registry-gateway"
    ).stdout


def login_status(home: Home, name: str, password: str) -> str:
    """Return the registry's status for a request with this login."""
    login = base64.b64encode(f"{name}:{password}".encode()).decode()
    return subprocess.run(
        ["curl", "-q", "-sS", "-K", "-", "--noproxy", "*", "--resolve", f"{NAME}:443:{home.nas.address}",
         "--cacert", str(home.deployment.store.ca_bundle_path), "-o", "/dev/null", "-w", "%{http_code}",
         f"https://{NAME}/v2/"],
        input=f'header = "Authorization: Basic {login}"\n', capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


def test_a_new_certificate_is_served_without_a_restart(home: Home) -> None:
    rotate, before, running = (
        "deploys/rotate_certificate.py",
        fingerprint_in_state(home.deployment),
        start_times(home.nas),
    )
    planned = home.run("--dry", deploy=rotate)
    assert fingerprint_in_state(home.deployment) == before
    ran = home.run(deploy=rotate)
    assert ran.steps == planned.steps == [
        f"make a certificate for {NAME}, {home.nas.address}: it is asked for",
        "write shown/about.json of the web page: its content is not as it should be",
        "write /etc/homelab-registry/gateway/tls/current.pem: its content is not as it should be",
        "ask the gateway for its certificate: it has a new one",
    ]  # fmt: skip
    assert served_fingerprint(home.nas, home.deployment) == fingerprint_in_state(home.deployment) != before
    assert start_times(home.nas) == running
    assert home.run().steps == []


def test_new_passwords_reach_every_client_and_former_passwords_are_refused(home: Home) -> None:
    former, running = home.deployment.store.read().passwords, start_times(home.nas)
    assert {
        account: login_status(home, account, password) for account, password in former.items()
    } == dict.fromkeys(former, "200")
    home.run(deploy="deploys/rotate_credentials.py")
    state = home.deployment.store.read()
    # A kubelet may use the old password from its file for ten more minutes; this test does not wait for that.
    assert set(state.former) == {"cluster"}
    good = {"admin": "401", "ci": "401", "cluster": "200"}
    assert {account: login_status(home, account, password) for account, password in former.items()} == good
    home.run(deploy="deploys/revoke_credentials.py")
    assert home.deployment.store.read().former == {}
    for account, password in former.items():
        assert login_status(home, account, password) == "401"
        assert login_status(home, account, state.passwords[account]) == "200"
    for host in home.fleet.hosts.values():
        login = base64.b64decode(json.loads(host.read(LOGIN))["auths"][NAME]["auth"]).decode()
        assert login == f"cluster:{state.passwords['cluster']}"
    for runtime in PULL_COMMANDS:
        pulled = home.pull(runtime)
        assert pulled.exit_code == 0, pulled.stderr
    assert start_times(home.nas) == running


def trusted_serials(home: Home) -> list[list[int]]:
    """Return the serial numbers of the CAs in each trust file of `node`."""
    texts = [home.node.read(f"{folder}/ca.crt") for folder in (DOCKER, CONTAINERD, CONTAINERS)]
    return [[each.serial_number for each in load_pem_x509_certificates(text.encode())] for text in texts]


def connects(home: Home, certificate: str) -> bool:
    """Return whether a client that trusts only this CA can connect."""
    file = home.deployment.folder / "alone.crt"
    file.write_text(certificate)
    return subprocess.run(
        ["openssl", "s_client", "-connect", f"{home.nas.address}:443", "-servername", NAME, "-verify_hostname", NAME,
         "-verify_return_error", "-CAfile", str(file), "-no-CApath", "-no-CAstore"],
        capture_output=True, stdin=subprocess.DEVNULL, check=False,
    ).returncode == 0  # fmt: skip


def test_a_new_ca_is_trusted_beside_the_old_one_and_then_alone(home: Home) -> None:
    old, running = home.deployment.store.read().authority, start_times(home.nas)
    assert old
    assert (
        "now: it holds the CA's key, and this run made a new one."
        in home.run(deploy="deploys/rotate_ca.py").output
    )
    successor = home.deployment.store.read().successor
    assert successor
    new = successor.ca
    both = [old.certificate.serial_number, new.certificate.serial_number]
    assert trusted_serials(home) == [both] * 3
    assert [connects(home, each.certificate_pem) for each in (old, new)] == [True, True]
    for runtime in PULL_COMMANDS:
        pulled = home.pull(runtime)
        assert pulled.exit_code == 0, pulled.stderr
    home.run(deploy="deploys/retire_ca.py")
    state = home.deployment.store.read()
    assert state.authority
    assert (state.authority.fingerprint, state.successor) == (new.fingerprint, None)
    assert trusted_serials(home) == [[new.certificate.serial_number]] * 3
    assert [connects(home, each.certificate_pem) for each in (old, new)] == [False, True]
    for runtime in PULL_COMMANDS:
        pulled = home.pull(runtime)
        assert pulled.exit_code == 0, pulled.stderr
    assert start_times(home.nas) == running


# The user's own verification, after everything above.


@contextmanager
def open_files_at_most(count: int) -> Iterator[None]:
    """Lower the limit for what is started in the block."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_nothing_is_left_to_do_and_verification_passes(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """API contract, roles, TLS, containers, and each client by its own program: only the tests of the cluster, caches and metrics are not run.

    With the least that a user's machine lets a program open, 256 files (macOS), and the folders of former sessions,
    which pytest clears away for whoever uses `tmp_path`: after pyinfra's import each stays open until gevent's next turn.
    """
    assert home.run().steps == []
    monkeypatch.setenv("PYTEST_DEBUG_TEMPROOT", str(tmp_path))
    for session in range(10):
        for folder in range(40):
            (tmp_path / f"pytest-of-{getpass.getuser()}" / f"pytest-{session}" / f"{folder}").mkdir(
                parents=True
            )
    with open_files_at_most(256):
        verified = home.deployment.verify("-vv")
    assert verified.returncode == 0, verified.stdout
    passed = re.findall(r"tests/verify/test_(\w+)\.py::\S+.* PASSED", verified.stdout)
    assert set(passed) == {path.stem.removeprefix("test_") for path in VERIFY.glob("test_*.py")} - {
        "caches",
        "cluster_control",
        "metrics",
    }
    assert " skipped" not in verified.stdout
