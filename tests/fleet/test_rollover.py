"""A CA rollover on real hosts: which clients can pull and connect at each stage, and when it is interrupted.

Each test begins and assert_finished without a rollover, with all hosts finished.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import load_pem_x509_certificates

from tasks.certificates import ca
from tasks.certificates.ca import KeyPair
from tasks.state.store import State
from tests.bench import registry_images
from tests.bench.fleet import Fleet
from tests.bench.programs import CRANE, CRI_PULL, REGISTRIES_PULL
from tests.bench.recipes import BOOKWORM_DOCKER, TRIXIE_NODE
from tests.fleet.deployment import Deployment, RunResult

NAME = "registry.homelab.local"
OUTSIDE = "registry.example.org"
IMAGE = f"{NAME}/rollover:1"
ROTATE, RETIRE = "deploys/rotate_ca.py", "deploys/retire_ca.py"
TLS = "/etc/homelab-registry/gateway/tls/current.pem"
NODE_SETTINGS = {"registry_runtime": ["containerd", "podman"], "registry_node_login": True}
CRI = "unix:///run/containerd/containerd.sock"

TRUST = {
    "nas": f"/etc/docker/certs.d/{NAME}/ca.crt",
    "pi": f"/etc/docker/certs.d/{NAME}/ca.crt",
    "node": f"/etc/containerd/certs.d/{NAME}/ca.crt /etc/containers/certs.d/{NAME}/ca.crt",
}
STORE = "/usr/local/share/ca-certificates"
CLIENTS = {
    "Go": "SSL_CERT_FILE={ca} SSL_CERT_DIR=/nowhere crane ls {name}/rollover",
    "OpenSSL": "openssl s_client -connect {name}:443 -servername {name} -verify_hostname {name} -verify_return_error "
    "-CAfile {ca} -no-CApath -no-CAstore < /dev/null",
    # The server has no git repository; its answer shows that the handshake succeeded.
    "GnuTLS": "git -c http.sslCAInfo={ca} ls-remote https://{name}/x 2>&1 | grep -q 'Authentication failed\\|not found"
    "\\|could not read Username'",
}
"""Clients outside the inventory, which trust one file and nothing else."""

ALL_CONNECT = dict.fromkeys(CLIENTS, True)
NONE_CONNECT = dict.fromkeys(CLIENTS, False)


@dataclass(frozen=True)
class Home:
    """A registry with its clients, and a laptop that is not in the inventory."""

    fleet: Fleet
    deployment: Deployment

    def hosts(self, *, down: str | None = None, **settings: object) -> None:
        """Write inventory and settings; the host named by `down` is unreachable."""
        data = {name: dict(self.fleet.data[name]) for name in ("nas", "pi", "node")}
        if down:
            data[down]["ssh_port"] = 9
        own: dict[str, dict[str, object]] = {
            "nas": {"registry_system_trust": True},
            "pi": {},
            "node": NODE_SETTINGS,
        }
        nas, pi, node = ((name, {**data[name], **more}) for name, more in own.items())
        self.deployment.inventory.write_text(
            f"registry = [{nas!r}]\ndocker_hosts = [{nas!r}, {pi!r}]\ncluster_nodes = [{node!r}]\n"
        )
        state = str(self.deployment.store.folder)
        self.deployment.set(registry_state_dir=state, registry_login_users=["root"], **settings)

    def run(self, deploy: str = "deploy.py", *arguments: str, fails: bool = False) -> RunResult:
        ran = self.deployment.run(*(("-y", *arguments)), deploy=deploy)
        assert ran.exit_code == (1 if fails else 0), ran.output
        assert "Traceback" not in ran.output
        return ran

    @property
    def state(self) -> State:
        return self.deployment.store.read()

    @property
    def authority(self) -> KeyPair:
        """Return the CA; during a rollover, the old one."""
        found = self.state.authority
        assert found
        return found

    @property
    def successor(self) -> KeyPair:
        found = self.state.successor
        assert found
        return found.ca

    def assert_finished(self) -> None:
        """Check what every test must leave: no rollover, and nothing to do."""
        ran = self.run()
        assert (ran.steps, self.state.successor) == ([], None), ran.output
        assert pull_results(self) == ALL_PULL
        assert trusted_fingerprints(self) == one_ca_everywhere(self.authority)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("rollover")
    recipes = {"nas": BOOKWORM_DOCKER, "pi": BOOKWORM_DOCKER, "laptop": BOOKWORM_DOCKER, "node": TRIXIE_NODE}
    fleet = Fleet.start(recipes, folder)
    try:
        registry_images.load(fleet.hosts["nas"])
        fleet.hosts["pi"].wait_until("docker info", 60, "Docker Engine")
        fleet.hosts["node"].give(CRI_PULL, REGISTRIES_PULL)
        fleet.hosts["laptop"].give(CRANE)
        home = Home(fleet, Deployment(folder, ""))
        home.hosts()
        home.run()
        push(home)
        yield home
    finally:
        fleet.remove()


def push(home: Home) -> None:
    admin = home.state.passwords["admin"]
    host = home.fleet.hosts["nas"]
    host.run(
        f"docker --config /tmp/admin login -u admin --password-stdin {NAME} && echo x > /tmp/x "
        f"&& tar -c -C /tmp x | docker import - {IMAGE} && docker --config /tmp/admin push {IMAGE}; "
        "code=$?; rm -rf /tmp/admin; exit $code",
        stdin=admin,
    )
    laptop, registry = home.fleet.hosts["laptop"], home.fleet.hosts["nas"]
    laptop.run(f"echo '{registry.address} {NAME} {OUTSIDE}' >> /etc/hosts")
    laptop.write("/ca.crt", home.authority.certificate_pem)
    login = f"SSL_CERT_FILE=/ca.crt crane auth login -u cluster --password-stdin {NAME}"
    laptop.run(login, stdin=home.state.passwords["cluster"])
    assert (
        "libgnutls"
        in laptop.run("ldd /usr/lib/git-core/git-remote-https /usr/lib/*/libcurl-gnutls.so.4").stdout
    )


PULLS: dict[str, tuple[str, str]] = {
    "Docker 20.10 on the registry's host": ("nas", f"docker rmi -f {IMAGE}; docker pull -q {IMAGE}"),
    "Docker 20.10": ("pi", f"docker rmi -f {IMAGE}; docker pull -q {IMAGE}"),
    "containerd's CRI": ("node", f"ctr -n k8s.io images rm {IMAGE}; cri-pull {CRI} {IMAGE}"),
    "Podman": ("node", f"podman rmi -f {IMAGE}; podman pull -q {IMAGE}"),
    "what K3s reads": ("node", f"registries-pull /root/registries.yaml {IMAGE}"),
    "the system's store": (
        "nas",
        f"openssl s_client -connect {NAME}:443 -verify_hostname {NAME} -verify_return_error < /dev/null",
    ),
}
ALL_PULL = dict.fromkeys(PULLS, "pulled")


def pull_results(home: Home) -> dict[str, str]:
    """Pull with each runtime as if for the first time; return `pulled` or the error by runtime."""
    password = home.state.passwords["cluster"]
    home.fleet.hosts["node"].write("/root/registries.yaml", (
        f'configs: {{"{NAME}": {{tls: {{ca_file: /etc/containerd/certs.d/{NAME}/ca.crt}}, '
        f"auth: {{username: cluster, password: {password}}}}}}}\n"
    ), "0600")  # fmt: skip
    results = {}
    for what, (name, command) in PULLS.items():
        done = home.fleet.hosts[name].run(command, stdin=f"cluster:{password}", check=False)
        results[what] = "pulled" if done.exit_code == 0 else done.stderr
    return results


def connection_results(home: Home, *trusted: KeyPair, name: str = NAME) -> dict[str, bool]:
    """Return whether each client on the laptop can connect if it trusts only these CAs."""
    laptop = home.fleet.hosts["laptop"]
    laptop.write("/trusted.crt", "".join(pair.certificate_pem for pair in trusted))
    return {
        kind: laptop.run(command.format(ca="/trusted.crt", name=name), check=False).exit_code == 0
        for kind, command in CLIENTS.items()
    }


def trusted_fingerprints(home: Home) -> dict[str, list[list[str]]]:
    """Return the fingerprints in each trust file, by host."""
    found = {}
    for name, files in TRUST.items():
        host = home.fleet.hosts[name]
        store = f"$(ls {STORE}/homelab-registry*.crt)" if name == "nas" else ""
        texts = [host.read(file) for file in host.run(f"echo {files} {store}").stdout.split()]
        found[name] = [
            [each.fingerprint(SHA256()).hex() for each in load_pem_x509_certificates(text.encode())]
            for text in texts
        ]
    return found


def one_ca_everywhere(pair: KeyPair) -> dict[str, list[list[str]]]:
    alone = [pair.fingerprint]
    return {"nas": [alone, alone], "pi": [alone], "node": [alone, alone]}


def both_cas_everywhere(old: KeyPair, new: KeyPair) -> dict[str, list[list[str]]]:
    both = [old.fingerprint, new.fingerprint]
    # The system's store has one certificate per file.
    return {"nas": [both, [new.fingerprint], [old.fingerprint]], "pi": [both], "node": [both, both]}


def served_issuers(home: Home) -> list[str]:
    """Return the issuers of the certificates in a handshake, beginning with the leaf's."""
    output = (
        home.fleet.hosts["laptop"]
        .run(f"echo | openssl s_client -connect {NAME}:443 -servername {NAME} -showcerts 2>/dev/null")
        .stdout
    )
    certificates = load_pem_x509_certificates(output.encode())
    return [certificate.issuer.rfc4514_string() for certificate in certificates]


def subjects(*pairs: KeyPair) -> list[str]:
    return [pair.certificate.subject.rfc4514_string() for pair in pairs]


@contextmanager
def constant_requests(home: Home, *trusted: KeyPair) -> Iterator[None]:
    """Send requests all the time, each over a new connection; not one may fail."""
    folder, address = home.deployment.folder, home.fleet.hosts["nas"].address
    (folder / "all-along.crt").write_text("".join(pair.certificate_pem for pair in trusted))
    asks = (
        f"while [ ! -e {folder}/stop ]; do curl -q -sS -m 20 -o /dev/null --resolve {NAME}:443:{address} --capath /nowhere "
        f"--cacert {folder}/all-along.crt -w '%{{http_code}}\\n' https://{NAME}/v2/ 2>&1; done > {folder}/answers"
    )
    asking = subprocess.Popen(["sh", "-c", asks])
    try:
        yield
    finally:
        (folder / "stop").touch()
        asking.wait(60)
        (folder / "stop").unlink()
    answers = (folder / "answers").read_text().splitlines()
    print(f"{len(answers)} requests during the block")
    assert len(answers) > 20
    assert set(answers) == {"401"}


# A complete rollover.


def test_a_complete_rollover(home: Home) -> None:
    old = home.authority
    planned = home.deployment.run("--dry", deploy=ROTATE)
    assert home.state.successor is None
    with constant_requests(home, old):
        ran = home.run(ROTATE)
    for name in TRUST:
        assert planned.steps_on(name) == ran.steps_on(name)
    new = home.successor
    state = home.deployment.store.folder
    leaf = f"make a certificate for {NAME}, {home.fleet.hosts['nas'].address}: it was issued by another certificate authority"
    assert [step for step in ran.steps_on("nas") if not step.startswith(("refresh", f"write {STORE}"))] == [
        f"make a new certificate authority in {state}: it is asked for",
        f"write {state}/ca.crt: it is not what clients are to trust now",
        "write web/ca.crt and shown/about.json of the web page: they are not as they should be",
        f"write {TRUST['nas']}: its content is not as it should be",
        "put the new certificate authority into use: every host trusts it",
        leaf,
        "write shown/about.json of the web page: its content is not as it should be",
        f"write {TLS}: its content is not as it should be",
        "ask the gateway for its certificate: it has a new one",
    ]
    until = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=30)
    assert f"and hosts still trust the old one until {until}" in ran.output
    assert trusted_fingerprints(home) == both_cas_everywhere(old, new)
    assert served_issuers(home) == subjects(new, old)
    assert pull_results(home) == ALL_PULL
    assert (
        connection_results(home, old)
        == connection_results(home, new)
        == connection_results(home, old, new)
        == ALL_CONNECT
    )
    assert connection_results(home, ca.make_authority([NAME], 10, dt.datetime.now(dt.UTC))) == NONE_CONNECT
    assert (state / "ca.crt").read_text() == old.certificate_pem + new.certificate_pem
    again = home.run()
    assert again.steps == []
    assert f"and hosts still trust the old one until {until}" in again.output
    assert len([line for line in again.commands if " host" in line]) == 7, (
        again.commands
    )  # 3 machines, 4 roles
    continued = home.run(ROTATE)
    assert continued.steps == []
    assert (
        "a CA rollover was under way already and is carried on with; no further one was begun"
        in continued.output
    )
    verified = home.deployment.verify(
        "-k", "test_tls or test_client_hosts or test_docker_hosts or test_cluster_nodes"
    )
    assert verified.returncode == 0, verified.stdout
    assert "the new certificate authority is in use, and hosts still trust the old one" in verified.stdout

    with constant_requests(home, old, new):
        ran = home.run(RETIRE)
    assert ran.steps_on("nas")[:2] == [
        "retire the old certificate authority: it is asked for",
        f"write {state}/ca.crt: it is not what clients are to trust now",
    ]
    assert ran.steps_on("nas")[-3:] == [
        "delete the old certificate authority: no host is told to trust it any more",
        f"write {TLS}: its content is not as it should be",
        "ask the gateway for its certificate: it has a new one",
    ]
    assert home.authority.fingerprint == new.fingerprint
    assert served_issuers(home) == subjects(new)
    assert connection_results(home, old) == NONE_CONNECT
    assert connection_results(home, new) == ALL_CONNECT
    home.assert_finished()


def test_retiring_without_a_rollover_is_reported_and_changes_nothing(home: Home) -> None:
    ran = home.run(RETIRE)
    assert ran.steps == []
    assert "there is no old certificate authority to retire" in ran.output


# Unreachable hosts.


def test_both_stages_wait_for_an_unreachable_host(home: Home) -> None:
    old = home.authority
    home.hosts(down="pi")
    ran = home.run(ROTATE, fails=True)
    new = home.successor
    waits = "[nas] the new certificate authority is not put into use before one run has finished every host, and waits for pi: "
    assert waits in ran.output
    assert len(ran.problems) == 1
    planned = home.deployment.run("--dry")
    assert waits in planned.output
    assert not [step for step in planned.steps_on("nas") if "to serve" in step or "serve:" in step]
    assert served_issuers(home) == subjects(old)
    assert pull_results(home) == ALL_PULL
    assert connection_results(home, old) == ALL_CONNECT
    assert connection_results(home, new) == NONE_CONNECT
    assert (
        "[nas] the old certificate authority cannot be retired before the new one serves; run make rotate-ca "
        f"INVENTORY={home.deployment.inventory}, which says what it waits for, and then this again"
    ) in home.run(RETIRE, fails=True).problems
    home.hosts()
    home.run()  # a plain run of deploy.py
    assert served_issuers(home) == subjects(new, old)
    assert trusted_fingerprints(home) == both_cas_everywhere(old, new)

    home.hosts(down="pi")
    ran = home.run(RETIRE, fails=True)
    waits = "[nas] the old certificate authority is not deleted before one run has finished every host, and waits for pi: "
    assert waits in ran.output
    assert served_issuers(home) == subjects(new, old)
    assert trusted_fingerprints(home)["node"] == one_ca_everywhere(new)["node"]
    assert trusted_fingerprints(home)["pi"] == both_cas_everywhere(old, new)["pi"]
    assert pull_results(home) == ALL_PULL
    assert connection_results(home, old) == connection_results(home, new) == ALL_CONNECT
    home.hosts()
    home.run()
    assert served_issuers(home) == subjects(new)
    home.assert_finished()


def test_a_permanently_missing_host_can_be_excused_by_name(home: Home) -> None:
    """If the host comes back, it can still connect with the old CA until that is retired."""
    old = home.authority
    home.hosts(down="pi")
    home.run(ROTATE, "--data", "registry_excused_hosts=pi", fails=True)
    new = home.successor
    assert served_issuers(home) == subjects(new, old)
    assert trusted_fingerprints(home)["pi"] == one_ca_everywhere(old)["pi"]
    assert pull_results(home) == ALL_PULL
    home.hosts()
    home.run()
    assert trusted_fingerprints(home) == both_cas_everywhere(old, new)
    successor = home.state.successor
    assert successor
    # As if the state were a backup from before the switch: a run with it would serve a leaf that hosts may no longer trust.
    home.deployment.store.authorities.write_rollover(replace(successor, issuing_since=None), old)
    problem = home.run(fails=True).problems[0]
    assert "this host has a registry certificate that " in problem
    assert "did not make" in problem
    home.deployment.store.authorities.write_rollover(successor, old)
    backdate_switch(home, days=29)
    assert home.run().steps == []
    backdate_switch(home, days=1)
    ran = home.run()  # the overlap's end
    assert ran.steps_on("nas")[0] == "retire the old certificate authority: the overlap is over"
    home.assert_finished()


def backdate_switch(home: Home, days: int) -> None:
    """Change the record of the rollover as if the switch had been that many days earlier."""
    folder = home.deployment.store.folder / "authorities" / home.successor.fingerprint[:16]
    record = json.loads((folder / "rollover.json").read_text())
    earlier = dt.date.fromisoformat(record["switched"]) - dt.timedelta(days=days)
    (folder / "rollover.json").write_text(json.dumps(record | {"switched": earlier.isoformat()}))


# Server names.


def test_a_server_name_that_the_ca_does_not_permit_is_added_with_the_next_ca(home: Home) -> None:
    old = home.authority
    home.hosts(registry_extra_names=[OUTSIDE])
    stopped = home.run(fails=True)
    assert (
        f"{OUTSIDE}: not permitted by the name constraints of the certificate authority"
        in stopped.problems[0]
    )
    assert "make rotate-ca" in stopped.problems[0]
    ran = home.run(ROTATE)
    new = home.successor
    to_come = f"Not in the certificate before the old certificate authority is retired: {OUTSIDE}"
    assert to_come in ran.output
    assert pull_results(home) == ALL_PULL
    assert connection_results(home, old) == ALL_CONNECT
    assert connection_results(home, new, name=OUTSIDE) == NONE_CONNECT
    verified = home.deployment.verify("-k", "test_tls")
    assert verified.returncode == 0, verified.stdout
    ran = home.run(RETIRE)
    assert f"(added: {OUTSIDE})" in "".join(ran.steps_on("nas"))
    assert to_come not in ran.output
    assert connection_results(home, new) == ALL_CONNECT
    assert connection_results(home, new, name=OUTSIDE)["OpenSSL"] is True
    home.hosts()
    home.run()
    home.assert_finished()


# An expired CA.


def test_a_ca_that_expired_while_hosts_were_off_is_replaced_in_one_run(home: Home, tmp_path: Path) -> None:
    now = dt.datetime.now(dt.UTC)
    nas, store = home.fleet.hosts["nas"], home.deployment.store
    names = [NAME, nas.address]
    old = ca.make_authority(names, 365, now - dt.timedelta(days=370))
    leaf = ca.make_leaf(old, names, 365, now - dt.timedelta(days=369))
    shutil.rmtree(store.folder / "authorities")
    store.authorities.write(old)
    store.write_ca_bundle(old.certificate_pem)
    store.write_leaf(leaf)
    nas.run(
        f"cat > {TLS}.x && chown 60706:60706 {TLS}.x && mv {TLS}.x {TLS}",
        stdin=leaf.certificate_pem + leaf.key_pem,
    )
    for name, files in TRUST.items():
        for file in files.split():
            home.fleet.hosts[name].write(file, old.certificate_pem)
    assert set(pull_results(home).values()) != {"pulled"}
    stopped = home.run(fails=True)
    assert stopped.steps == []
    assert stopped.problems[0] == (
        f"[nas] the certificate authority expired on {old.certificate.not_valid_after_utc:%Y-%m-%d}, and so no "
        "certificate of the registry is valid; run make rotate-ca "
        f"INVENTORY={home.deployment.inventory}, which makes a new one and gives it to every host"
    )
    home.hosts(registry_ca_days=80, registry_leaf_days=80)
    ran = home.run(ROTATE)
    assert "(79 days left): run make rotate-ca" in ran.output
    assert "delete the old certificate authority: no host is told to trust it any more" in ran.steps_on("nas")
    assert served_issuers(home) == subjects(home.authority)
    assert connection_results(home, home.authority) == ALL_CONNECT
    verified = home.deployment.verify("-k", "test_tls")
    assert verified.returncode == 1, verified.stdout
    assert "the certificate authority in use has 79 days left" in verified.stdout
    home.hosts()
    home.assert_finished()


# Killed runs.


def kill_points(ran: RunResult, soak: bool) -> list[int]:
    """Return the commands after which a run is killed: all, or a sample of the decisions and one write on a client."""
    if soak:
        return list(range(1, len(ran.commands) + 1))
    decided = [number for number, line in enumerate(ran.commands, 1) if " controller " in line]
    written = [number for number, line in enumerate(ran.commands, 1) if re.search(r" host\+ ", line)]
    return sorted({*decided[::4], written[1]})


def test_a_killed_rollover_locks_nobody_out_and_any_run_finishes_it(
    home: Home, soak: bool, part: slice
) -> None:
    rotated, retired = home.run(ROTATE), home.run(RETIRE)
    points = {ROTATE: kill_points(rotated, soak), RETIRE: kill_points(retired, soak)}
    for number in range(max(map(len, points.values())))[part]:
        for deploy, then in ((ROTATE, is_in_overlap), (RETIRE, is_finished)):
            at = points[deploy][min(number, len(points[deploy]) - 1)]
            old = home.authority
            killed = home.deployment.run(deploy=deploy, kill_after=at)
            assert killed.exit_code == -9, killed.output
            where = f"{deploy} killed after {killed.commands[-1]}"
            assert pull_results(home) == ALL_PULL, where
            if deploy == ROTATE:
                assert connection_results(home, old) == ALL_CONNECT, where
            if number % 2:
                home.run(deploy)
            else:
                home.run()
                if not then(home):  # killed before anything was decided
                    home.run(deploy)
            assert then(home), where
            if soak:  # the complete rollover pulls after each stage
                assert pull_results(home) == ALL_PULL, where
            assert home.run().steps == [], where
            print(where, "and finished")
    home.assert_finished()


def is_in_overlap(home: Home) -> bool:
    found = home.state.successor
    return bool(found and found.issuing_since and not found.retiring_old)


def is_finished(home: Home) -> bool:
    return home.state.successor is None
