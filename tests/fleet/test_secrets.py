"""No secret appears in arguments, environments, output, Docker's output, or a file that others may read.

One host deploys to itself and verifies itself, with every command traced. The secrets are searched by value: generated
and custom passwords, their hashes, the keys, and the registry's own secret.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex

import pytest

from tasks.state.store import Store
from tests.bench import registry_images
from tests.bench.hosts import BenchHost, Result
from tests.bench.recipes import BOOKWORM_DOCKER
from tests.credential_helper import HELPER
from tests.fleet.deployment import ROOT
from tests.fleet.tracing import Needles, Reader, strace

PROJECT, TRACES = "/root/project", "/traces"
STATE = f"{PROJECT}/state/local"
CONF = "/etc/homelab-registry"
LOGIN, KEPT = "/root/.docker/config.json", "/home/kept/.fake-logins/"
PYINFRA = ".venv/bin/pyinfra -vvv --diff"
DEPLOY = f"{PYINFRA} -y inventories/local.py deploy.py"
VERIFY = (
    ".venv/bin/python -m pytest -vv --tb=long tests/verify --inventory inventories/local.py "
    "-k 'test_contract or test_roles or test_containers or login'"
)
"""Those tests that a wrong password fails, with all that pytest can print."""

ACCOUNTS = ("admin", "ci", "cluster")
# Random in each run, because this file is on the host as well. Of the account that hosts log in with; the registry takes
# a quarter of a second to check a custom password, at each request.
CUSTOM = {"cluster": f"canary cluster+/{token_hex(6)}"}

# For each file whose upload is to fail: how to fill the file system of its folder.
FULL = {
    f"{CONF}/gateway/tls/current.pem": "head -c 4096 /dev/zero > full",
    f"{CONF}/registry/config.yml": "head -c 4096 /dev/zero > full",
    f"{CONF}/registry/htpasswd": "true",  # config.yml takes the one page there is
}


@dataclass
class Evidence:
    """All output and traces of commands that handle secrets."""

    host: BenchHost
    copy: Path
    secrets: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, Result] = field(default_factory=dict)

    def run(self, name: str, command: str) -> Result:
        """Run a command in the project under strace, and record the secrets that exist after it."""
        traced = strace(f"{TRACES}/{len(self.outputs):02}", command)
        self.outputs[name] = result = self.host.run(f"cd {PROJECT} && {traced}", check=False)
        self.record_secrets()
        return result

    def record_secrets(self) -> None:
        """Read the secrets from a copy of the state, each with a name that is safe to print."""
        folder = self.copy / str(len(self.outputs))
        subprocess.run(["docker", "cp", "-q", f"{self.host.name}:{STATE}", folder], check=True)
        state = Store(folder).read()
        assert state.authority and state.leaf and state.http_secret  # noqa: PT018 - one claim
        found = {password: f"the password of {name}" for name, password in state.passwords.items()}
        found |= {hashed: f"the hash of {name}" for name, hashed in state.hashes.items()}
        found |= {state.http_secret: "http.secret"}
        for name, pair in (("the CA", state.authority), ("the leaf", state.leaf)):
            # The last of the three lines contains only the public half.
            found |= dict.fromkeys(pair.key_pem.splitlines()[1:3], f"the key of {name}")
        self.secrets = found | self.secrets

    def write_passwords(self, **passwords: str) -> None:
        """Write custom passwords, as a user does."""
        for name, password in passwords.items():
            self.host.write(f"{STATE}/accounts/{name}.password", f"{password}\n", "0600")


@pytest.fixture(scope="module")
def host() -> Iterator[BenchHost]:
    """The host, which has the project as after `git clone` and deploys to itself."""
    host = BenchHost.start(BOOKWORM_DOCKER, volumes={"/src": str(ROOT)})
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    host.run(
        f"mkdir -p {PROJECT} && mkdir -m 0700 {TRACES} && cd /src "
        f"&& tar -c --null --ignore-failed-read -T - | tar -x -C {PROJECT}",
        stdin=files,
    )
    host.run(f"cd {PROJECT} && make .venv/ready")
    registry_images.load(host)  # their builds are given no secret
    yield host
    host.remove()


@pytest.fixture(scope="module")
def evidence(host: BenchHost, tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """A first run, one with a custom password, a plan, failing runs, and a passing and a failing verification."""
    evidence = Evidence(host, tmp_path_factory.mktemp("state"))
    # Two users are logged in, one of them through a credential helper.
    host.write("/usr/local/bin/docker-credential-fake", HELPER, "0755")
    host.run(
        'useradd -m -G docker kept && su kept -c \'mkdir ~/.docker && echo {\\"credsStore\\":\\"fake\\"} > ~/.docker/config.json\''
    )
    host.run(f'echo \'registry_login_users = ["root", "kept"]\' >> {PROJECT}/inventories/group_data/local.py')
    assert evidence.run("first run", DEPLOY).exit_code == 0, "the first run fails"
    evidence.write_passwords(**CUSTOM)
    assert evidence.run("run with a custom password", DEPLOY).exit_code == 0, (
        "a run with a custom password fails"
    )
    assert evidence.run("plan", f"{PYINFRA} --dry inventories/local.py deploy.py").exit_code == 0
    for path, fill in FULL.items():
        folder = str(Path(path).parent)
        host.run(
            f"mount -t tmpfs -o size=4k,mode=0700,uid=60706,gid=60706 none {folder}; cd {folder}; {fill}"
        )
        failed = evidence.run(f"full disk under {path}", DEPLOY)
        assert failed.exit_code == 1, "a run goes on although a disk is full"
        assert f"could not write {path}: " in failed.stdout + failed.stderr
        host.run(f"umount {folder}")
    assert evidence.run("make verify", "make verify").exit_code == 0, "make verify fails"
    evidence.write_passwords(ci=f"canary ci once more {token_hex(6)}")
    assert evidence.run("failing verification", VERIFY).exit_code == 1, (
        "a password that is not deployed verifies"
    )
    return evidence


@pytest.fixture(scope="module")
def needles(evidence: Evidence) -> Needles:
    # Generated and custom passwords and their hashes, one more custom one, two keys, http.secret.
    assert len(evidence.secrets) == 4 + 4 + 1 + 4 + 1
    return Needles(evidence.secrets)


@pytest.fixture(scope="module")
def trace(host: BenchHost, evidence: Evidence, needles: Needles) -> Reader:
    reader = Reader(needles)
    for number in range(len(evidence.outputs)):
        reader.read(host.read(f"{TRACES}/{number:02}").splitlines())
    return reader


def test_arguments_and_environments(trace: Reader) -> None:
    print(f"{trace.executions} programs were started")
    assert trace.executions > 1000
    assert trace.exposed == []


def test_output(evidence: Evidence, needles: Needles) -> None:
    assert all(result.stdout + result.stderr for result in evidence.outputs.values())
    found = {name: needles.within(result.stdout + result.stderr) for name, result in evidence.outputs.items()}
    assert found == {name: set() for name in evidence.outputs}


def test_docker_output(host: BenchHost, evidence: Evidence, needles: Needles) -> None:
    output = host.run(
        "docker inspect $(docker ps -aq) $(docker images -aq) $(docker network ls -q); docker info;"
        "for image in $(docker images -aq); do docker history --no-trunc $image; done;"
        "for container in homelab-registry homelab-registry-gateway; do docker logs $container 2>&1; done"
    ).stdout
    assert "/homelab-registry-gateway" in output
    assert "level=" in output  # the registry's log
    assert needles.within(output) == set()


def test_running_programs(host: BenchHost, evidence: Evidence, needles: Needles) -> None:
    output = host.run("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'").stdout
    assert "OTEL_TRACES_EXPORTER=none" in output  # the registry's own
    assert needles.within(output) == set()


def test_files_at_every_moment(trace: Reader) -> None:
    written = {f"{CONF}/registry/config.yml", f"{CONF}/registry/htpasswd"}
    written |= {f"{STATE}/leaf.pem", f"{STATE}/htpasswd", f"{STATE}/http.secret", LOGIN}
    for folder in (KEPT, f"{CONF}/gateway/tls/"):
        assert any(path.startswith(folder) for path in trace.holders)
    assert written <= set(trace.holders)
    assert trace.wide == []


def test_files_at_the_end(host: BenchHost, evidence: Evidence, needles: Needles) -> None:
    """Search the whole host, including the engine's layers, except for the traces and the tests."""
    host.write(f"{TRACES}/needles", "".join(f"{form}\n" for form in needles.names), "0600")
    found = host.run(
        f"find / \\( -path /proc -o -path /sys -o -path /src -o -path {TRACES} -o -path {PROJECT}/tests \\) -prune -o -type f -print0 "
        f"| xargs -0 grep -alF -f {TRACES}/needles | xargs stat -c '%a %n' | sort",
    ).stdout.splitlines()
    passwords = [f"600 {STATE}/accounts/{name}.password" for name in ACCOUNTS]
    of_the_state = ["authorities/", "htpasswd", "http.secret", "leaf.pem"]
    of_the_host = ["gateway/tls/", "registry/config.yml", "registry/htpasswd"]
    assert [line for line in found if not line.startswith("600 ")] == []
    assert [line for line in found if line in passwords] == passwords
    expected = [f"600 {STATE}/{name}" for name in of_the_state] + [
        f"600 {CONF}/{name}" for name in of_the_host
    ]
    expected += [f"600 {LOGIN}", f"600 {KEPT}"]
    others = [line for line in found if line not in passwords]
    assert len(others) == len(expected), others
    assert all(any(line.startswith(start) for start in expected) for line in others), others


def test_only_the_owner_can_read_the_state(host: BenchHost, evidence: Evidence) -> None:
    assert host.run(f"find {STATE} -type f ! -perm 0600 -o -type d ! -perm 0700").stdout == ""
