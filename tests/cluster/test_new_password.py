"""After one run everyone who pulls has the new password, and nothing on its way shows it.

The run and the verification after it are traced on each host: all that is started through SSH, kubectl included.
"""

from __future__ import annotations

import datetime as dt
import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import pytest

from tasks.accounts.passwords import generate
from tests.bench.cluster import Cluster, pod_on
from tests.bench.hosts import BenchHost
from tests.cluster.contract import NAME, SECRET, password, push
from tests.fleet.deployment import Deployment, RunResult
from tests.fleet.tracing import Needles, Reader, strace_of

# The kubelet lets every pod of a node have an image that the node once pulled with its own login (KEP-2535): this one is of
# these tests alone.
IMAGE = f"{NAME}/for-all:v1"
KUBELET = "/var/lib/kubelet/config.json"
USERS = {"root": "/root", "op": "/home/op"}
CHOSEN = ["default", "apps", "tools"]
TRACE = "/root/trace"


@dataclass
class Life:
    """The passwords before and after, the run that brought the new one, the verification after it, and their traces."""

    old: str
    new: str
    ran: RunResult
    verified: str
    trace: Reader
    needles: Needles


def secrets_of(passwords: Mapping[str, str]) -> dict[str, str]:
    """Return what must not show, with names for it: passwords, and what a secret of the cluster makes of them."""
    found: dict[str, str] = {}
    for name, value in passwords.items():
        auth = b64encode(f"cluster:{value}".encode()).decode()
        config = b64encode(json.dumps({"auths": {NAME: {"auth": auth}}}).encode()).decode()
        found |= {value: f"the {name} password", auth: f"auth of the {name}", config: f"secret of the {name}"}
    return found


@contextmanager
def traced(host: BenchHost) -> Iterator[None]:
    """Trace what is started through SSH on a host."""
    daemon = host.run("systemctl show -p MainPID --value ssh").stdout.strip()
    unit = "systemd-run -q --unit=tracing -p KillMode=process"
    host.run(f"umask 077; : > {TRACE}; {unit} {strace_of(TRACE, daemon)}")
    host.wait_until(f"! grep -q '^TracerPid:.0$' /proc/{daemon}/status", 30, "strace")
    try:
        yield
    finally:
        host.run("systemctl stop tracing")


@pytest.fixture(scope="module")
def namespaces(cluster: Cluster) -> Iterator[list[str]]:
    """All that are chosen, and `stranger`, which is not."""
    with ExitStack() as closing:
        for name in (*CHOSEN[1:], "stranger"):
            closing.enter_context(cluster.namespace(name))
        yield CHOSEN


@pytest.fixture(scope="module")
def life(cluster: Cluster, deployment: Deployment, namespaces: list[str]) -> Iterator[Life]:
    """A deployment to all who can be logged in, a new password, one run, and a verification."""
    cluster.control.run("usermod -aG docker op")
    push(cluster, deployment, IMAGE)
    state = {"registry_state_dir": f"{deployment.folder}/state"}
    users = {"registry_login_users": list(USERS), "registry_node_login": True}
    deployment.set(**state, **users, registry_pull_secret_namespaces=namespaces)
    try:
        yield _lived(cluster, deployment)
    finally:
        deployment.set(**state)
        for host, path in logins(cluster):
            host.run(f"rm -f {path}")
        forget(cluster)


def _lived(cluster: Cluster, deployment: Deployment) -> Life:
    ran = deployment.run()
    assert ran.exit_code == 0, ran.output
    old, new = password(deployment, "cluster"), generate()
    assert {login(host, path) for host, path in logins(cluster)} == {f"cluster:{old}"}
    (deployment.folder / "state/accounts/cluster.password").write_text(f"{new}\n")
    hosts = [cluster.control, *cluster.nodes.values()]
    with ExitStack() as tracing:
        for host in hosts:
            tracing.enter_context(traced(host))
        ran = deployment.run("-y", "-vvv", "--diff")
        done = deployment.verify("-vv", "--tb=long", "-k", "test_cluster_control")
    assert ran.exit_code == 0, ran.output
    assert done.returncode == 0, done.stdout + done.stderr
    needles = Needles(secrets_of({"old": old, "new": new}))
    reader = Reader(needles)
    for host in hosts:
        reader.read(host.read(TRACE).splitlines())
    return Life(old, new, ran, done.stdout + done.stderr, reader, needles)


def logins(cluster: Cluster) -> list[tuple[BenchHost, str]]:
    """Return the files of all who are logged in."""
    users = [(cluster.control, f"{home}/.docker/config.json") for home in USERS.values()]
    return [*users, *((host, KUBELET) for host in cluster.nodes.values())]


def login(host: BenchHost, path: str) -> str:
    """Return the login in a file, as `account:password`."""
    return b64decode(json.loads(host.read(path))["auths"][NAME]["auth"]).decode()


def forget(cluster: Cluster) -> None:
    """Make each kubelet read its own login again, as it does every five minutes (kubernetes, credentialprovider/defaults.go)."""
    for host in cluster.nodes.values():
        host.run("systemctl restart kubelet")


def test_it_is_in_every_namespace(cluster: Cluster, life: Life) -> None:
    found = cluster.get("secrets", "-A", f"--field-selector=metadata.name={SECRET}")["items"]
    found_configs = {
        each["metadata"]["namespace"]: json.loads(b64decode(each["data"][".dockerconfigjson"]))
        for each in found
    }
    auth = b64encode(f"cluster:{life.new}".encode()).decode()
    assert found_configs == {namespace: {"auths": {NAME: {"auth": auth}}} for namespace in CHOSEN}


def test_every_logged_in_user_and_node_has_it(cluster: Cluster, life: Life) -> None:
    assert {login(host, path) for host, path in logins(cluster)} == {f"cluster:{life.new}"}
    for user in USERS:
        cluster.control.run(f"docker rmi -f {IMAGE} && su -l {user} -c 'docker pull -q {IMAGE}'")


def test_pods_pull_with_it(cluster: Cluster, life: Life) -> None:
    """By the service account's secret in each chosen namespace; in the other with what the kubelet still remembers."""
    for node, host in cluster.nodes.items():
        for namespace in (*CHOSEN, "stranger"):
            cluster.apply(pod_on(host.name, f"new-{node}", namespace, IMAGE))
    for node in cluster.nodes:
        for namespace in (*CHOSEN, "stranger"):
            cluster.kubectl(
                *("wait", "-n", namespace, "--for=condition=Ready", "--timeout=90s", f"pod/new-{node}")
            )
    for node in cluster.nodes:
        cluster.kubectl("delete", "pod", f"new-{node}", "-n", "default", "--wait=false")


def test_the_old_one_is_accepted_as_long_as_kubelets_remember_it(
    cluster: Cluster, deployment: Deployment, life: Life
) -> None:
    assert "the former password of cluster is still accepted: until " in life.ran.output
    assert "(kubelets remember it)" in life.ran.output
    assert logs_in(cluster, life.old)
    # A day later, as it were, a node is back which was off.
    former, day = deployment.store.read().former["cluster"], dt.timedelta(days=1)
    assert former.kubelet_updated
    earlier = replace(former, since=former.since - day, kubelet_updated=former.kubelet_updated - day)
    deployment.store.write_former({"cluster": earlier})
    node = cluster.nodes["node16"]
    auth = b64encode(f"cluster:{life.old}".encode()).decode()
    node.write(KUBELET, json.dumps({"auths": {NAME: {"auth": auth}}}), "0600")
    ran = deployment.run()
    assert "(kubelets remember it)" in ran.output
    assert login(node, KUBELET) == f"cluster:{life.new}"
    assert logs_in(cluster, life.old)
    ran = deployment.run(deploy="deploys/revoke_credentials.py")
    assert ran.exit_code == 0, ran.output
    assert not logs_in(cluster, life.old)
    assert logs_in(cluster, life.new)


def logs_in(cluster: Cluster, secret: str) -> bool:
    """Return whether Docker can log in with a password; a failure has to be a refused login."""
    command = f"DOCKER_CONFIG=/tmp/none docker login -u cluster --password-stdin {NAME}"
    done = cluster.control.run(f"{command}; code=$?; rm -rf /tmp/none; exit $code", stdin=secret, check=False)
    assert done.exit_code == 0 or "unauthorized" in done.stderr.lower()
    return done.exit_code == 0


def test_no_secret_is_in_arguments_or_environments(life: Life) -> None:
    print(f"{life.trace.executions} programs were started")
    assert life.trace.executions > 100
    assert life.trace.exposed == []


def test_no_secret_is_in_a_file_that_others_may_read(life: Life) -> None:
    assert {f"{home}/.docker/config.json" for home in USERS.values()} | {KUBELET} == set(life.trace.holders)
    assert life.trace.wide == []


def test_no_secret_is_in_the_output(life: Life) -> None:
    assert "test_the_secret_logs_in_and_cannot_push" in life.verified
    assert life.needles.within(life.ran.output) == set()
    assert life.needles.within(life.verified) == set()
