"""A real Docker host: logged-in users, the system's trust store, and settings that conflict with the CA."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.bench.hosts import BenchHost
from tests.credential_helper import HELPER
from tests.fleet.conftest import deployment_on
from tests.fleet.deployment import Deployment, RunResult
from tests.forks import ROOT

NAME = "registry.homelab.local"
IMAGE = f"{NAME}/test/logins:1"
CONFIG = "/home/ci/.docker/config.json"
STORE = "/usr/local/share/ca-certificates/homelab-registry.crt"
BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
SETTINGS = {"registry_login_users": ["root", "ci"], "registry_system_trust": True}

# A long-used configuration: another registry's login, unknown keys, the user's own formatting.
USER_CONFIG = (
    '{\n    "HttpHeaders": { "X-Meta": "a\\/b" },\n    "auths": {\n'
    '        "registry.example.org": {"auth": "dTpw", "email": "u@example.org"}\n    },\n'
    '    "psFormat": "table {{.ID}}",\n    "big": 1.50e3\n}'
)


@pytest.fixture(scope="module")
def deployment(host: BenchHost, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """A registry and its clients on that host, deployed once; of its two users, one has a login elsewhere already."""
    host.run("useradd -m -G docker ci && useradd -m -G docker kept")
    host.write(CONFIG, USER_CONFIG, "0600")
    host.run(f"chown -R ci:ci /home/ci/.docker && cp {CONFIG} /home/ci/before")
    # As dockerd-rootless-setuptool.sh leaves it.
    host.run("su ci -c 'mkdir -p ~/.config/systemd/user && touch ~/.config/systemd/user/docker.service'")
    deployment = deployment_on(host, tmp_path_factory.mktemp("deployment"), **SETTINGS)
    ran = deployment.run()
    assert ran.exit_code == 0, ran.output
    assert ran.trusted_by("Docker") == [f"@docker/{host.name}"]
    assert ran.logged_in == f"root, ci on @docker/{host.name}"
    push(host, deployment)
    return deployment


def push(host: BenchHost, deployment: Deployment) -> None:
    """Push an image as `admin`, with a temporary Docker configuration."""
    admin = deployment.store.read().passwords["admin"]
    host.run(
        f"docker --config /tmp/admin login -u admin --password-stdin {NAME} && echo x > /tmp/x "
        f"&& tar -c -C /tmp x | docker import - {IMAGE} && docker --config /tmp/admin push {IMAGE}; "
        "code=$?; rm -rf /tmp/admin; exit $code",
        stdin=admin,
    )


def pull(host: BenchHost, user: str) -> str:
    """Pull as a user who enters no password; return `pulled`, or the error."""
    host.run(f"docker rmi -f {IMAGE}")
    done = host.run(f"su - {user} -c 'docker pull -q {IMAGE}'", check=False)
    return done.stderr if done.exit_code else "pulled"


def change_settings(deployment: Deployment, **more: object) -> None:
    deployment.set(registry_state_dir=str(deployment.store.folder), **{**SETTINGS, **more})


def run(deployment: Deployment) -> list[str]:
    """Plan and run; return the steps, which are the same in both."""
    planned, ran = deployment.plan(), deployment.run()
    assert ran.exit_code == 0, ran.output
    assert planned.steps == ran.steps
    return ran.steps


def run_with_conflict(deployment: Deployment) -> RunResult:
    """Run, and check that nothing is changed and one line says why."""
    ran = deployment.run()
    assert (ran.exit_code, ran.steps, len(ran.problems)) == (1, [], 1), ran.output
    return ran


def expected_auth(deployment: Deployment) -> str:
    return b64encode(f"cluster:{deployment.store.read().passwords['cluster']}".encode()).decode()


def config_with_login(deployment: Deployment) -> str:
    """Return the expected text: the user's keys, order, indentation and numbers, with one more entry."""
    wanted = json.loads(USER_CONFIG)
    wanted["auths"][NAME] = {"auth": expected_auth(deployment)}
    return json.dumps(wanted, indent=4).replace("1500.0", "1.50e3")


def test_users_pull_without_logging_in_and_others_do_not(host: BenchHost, deployment: Deployment) -> None:
    assert pull(host, "root") == pull(host, "ci") == "pulled"
    assert "no basic auth credentials" in pull(host, "kept")
    assert host.read(CONFIG) == config_with_login(deployment)
    assert host.run(f"stat -c '%a %U:%G' {CONFIG}").stdout == "600 ci:ci\n"
    output = host.run("stat -c '%a %U:%G' /root/.docker /root/.docker/config.json").stdout
    assert output == "700 root:root\n600 root:root\n"
    rootless = f"/home/ci/.config/docker/certs.d/{NAME}/ca.crt"
    assert host.run(
        f"cmp {rootless} /etc/docker/certs.d/{NAME}/ca.crt; stat -c '%a %U:%G' {rootless}"
    ).stdout == ("644 ci:ci\n")
    again = deployment.run("-y", "-v")
    assert again.steps == []
    assert "Docker has the registry's CA and its name, and its users are logged in" in again.reasons
    assert len(again.commands) == 3, again.commands  # machines, the registry host's fact, the Docker host's


def test_the_status_says_what_a_run_would_do(host: BenchHost, deployment: Deployment) -> None:
    inventory = str(deployment.inventory)
    here = f"@docker/{host.name}"
    line = [sys.executable, "-m", "tasks.cli.status", inventory]

    def status() -> tuple[int, list[str]]:
        ran = subprocess.run(
            line, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert ran.stderr == ""
        return ran.returncode, ran.stdout.splitlines()

    code, [registry, certificate, authority, backup, timer, would] = status()
    assert code == 0
    assert registry == f"Registry     https://{NAME}, on {here}"
    assert certificate.startswith("Certificate  396 days left (until ")
    assert authority.startswith("CA           3649 days left (until ")
    assert backup == "Backup       none is set up; see docs/by-task.md, Back up"
    assert timer == f"Timer        none; make timer INVENTORY={inventory} has systemd run this every week"
    assert would == "A run        has nothing to do on 1 host"
    with temporarily_without(host, "/root/.docker"):
        code, [*_, would] = status()
    assert code == 3
    assert would == f"A run        would take 2 steps: {here} 2 (make plan INVENTORY={inventory} lists them)"


@contextmanager
def temporarily_without(host: BenchHost, folder: str) -> Iterator[None]:
    host.run(f"mv {folder} /tmp/kept")
    try:
        yield
    finally:
        host.run(f"mv /tmp/kept {folder}")


def test_a_changed_password_reaches_users_in_the_same_run(host: BenchHost, deployment: Deployment) -> None:
    deployment.store.password_path("cluster").write_text('correct "horse" bättery\n')
    assert [step for step in run(deployment) if "the login of" in step] == [
        "write /root/.docker/config.json: the login of root is not as it should be",
        f"write {CONFIG}: the login of ci is not as it should be",
    ]
    assert pull(host, "root") == pull(host, "ci") == "pulled"
    assert host.read(CONFIG) == config_with_login(deployment)


def test_a_user_with_an_account_that_pushes_can_push(host: BenchHost, deployment: Deployment) -> None:
    change_settings(deployment, registry_login_users={"root": "ci", "ci": None})
    ran = deployment.run()
    assert ran.steps == [f"write {ROOT_CONFIG}: the login of root is not as it should be"]
    assert ran.logged_in == f"root (ci), ci on @docker/{host.name}"
    copy = f"{IMAGE.rpartition(':')[0]}:of-root"
    assert pull(host, "root") == "pulled"
    host.run(f"docker tag {IMAGE} {copy}")
    assert host.run(f"su - ci -c 'docker push {copy}'", check=False).stderr.startswith("denied: ")
    host.run(f"docker push {copy}")
    change_settings(deployment)
    assert run(deployment) == [f"write {ROOT_CONFIG}: the login of root is not as it should be"]


def test_the_system_trusts_the_registry(host: BenchHost, deployment: Deployment) -> None:
    """Check with openssl, by the store's hash links and by its bundle, and with Python's defaults."""
    check = f"echo | openssl s_client -connect {NAME}:443 -servername {NAME} -verify_return_error"
    for where in ("-no-CAfile -CApath /etc/ssl/certs", f"-CAfile {BUNDLE} -no-CApath"):
        assert "Verify return code: 0 (ok)" in host.run(f"{check} {where} 2>&1").stdout
    asked = f"import urllib.request as u; u.urlopen('https://{NAME}/')"
    answered = host.run(f'python3 -c "{asked}"', check=False).stderr
    assert "HTTP Error" in answered or not answered
    assert "CERTIFICATE_VERIFY_FAILED" not in answered


REFRESH = f"refresh {BUNDLE}"
SECOND_CERTIFICATE = STORE.replace(".crt", "-2.crt")
ROOT_CONFIG = "/root/.docker/config.json"
DRIFT = {
    "removed": {
        f"cat /home/ci/before > {CONFIG}": [f"write {CONFIG}: ci has no login for {NAME}"],
        "rm -r /root/.docker": ["make /root/.docker: it is missing", f"write {ROOT_CONFIG}: root has no login for {NAME}"],
        f"rm {STORE}": [f"write {STORE}: it is missing", f"{REFRESH}: OpenSSL does not find our certificate by its hash"],
    },
    "changed": {
        f"sed -i '/{NAME}/,/}}/s/\"auth\": \".*\"/\"auth\": \"eDp5\"/' {CONFIG}":
            [f"write {CONFIG}: the login of ci is not as it should be"],
        f"rm {ROOT_CONFIG}": [f"write {ROOT_CONFIG}: root has no login for {NAME}"],
        f"sed -i 5d {STORE} && update-ca-certificates":
            [f"write {STORE}: its content is not as it should be", f"{REFRESH}: our certificate is not in it"],
    },
    "modes, and left by a killed run": {
        f"chmod 0644 {CONFIG}": [f"set mode of {CONFIG}: its mode is 0644, not 0600"],
        "install -m 600 /dev/null /root/.docker/.config.json.homelab-new":
            ["remove /root/.docker/.config.json.homelab-new: a run was killed while writing it"],
        f"mv {STORE} /tmp/s && update-ca-certificates && mv /tmp/s {STORE} && cp {STORE} {SECOND_CERTIFICATE}":
            [f"remove {SECOND_CERTIFICATE}: its certificate is no longer wanted", f"{REFRESH}: our certificate is not in it"],
    },
}  # fmt: skip


def step_order(step: str) -> int:
    """Return a sort key for the order of steps: the system's trust store, then user by user."""
    return 1 if "/root/" in step else 2 if "/home/" in step else 0


@pytest.mark.parametrize("name", DRIFT)
def test_drift_is_fixed_exactly(host: BenchHost, deployment: Deployment, name: str) -> None:
    before = host.read(CONFIG)
    for command in DRIFT[name]:
        host.run(command)
    expected = [step for steps in DRIFT[name].values() for step in steps]
    assert run(deployment) == sorted(expected, key=step_order)
    assert host.read(CONFIG) == before
    assert host.run(f"stat -c '%a %U:%G' {CONFIG}").stdout == "600 ci:ci\n"
    verified = host.run(
        f"openssl verify -CAfile {BUNDLE} -no-CApath {STORE} && openssl verify -no-CAfile {STORE}"
    )
    assert verified.stdout == f"{STORE}: OK\n" * 2


def test_a_credential_helper_stores_the_login(host: BenchHost, deployment: Deployment) -> None:
    """Later runs ask the helper for the login; Docker pulls with the stored login, and the file stays unchanged.

    Docker finds the key in any case.
    """
    path, text = "/home/kept/.docker/config.json", '{"credsstore": "fake", "auths": {}}\n'
    host.write("/usr/local/bin/docker-credential-fake", HELPER, "0755")
    host.write(path, text, "0600")
    host.run("chown -R kept: /home/kept/.docker")
    change_settings(deployment, registry_login_users=["kept"])
    given = f"give docker-credential-fake the login of kept for {NAME}: it does not hold it"
    assert deployment.run().steps == [given]
    assert pull(host, "kept") == "pulled"
    assert deployment.run().steps == []
    deployment.store.password_path("cluster").write_text("another one\n")
    assert given in deployment.run().steps
    assert pull(host, "kept") == "pulled"
    assert host.read(path) == text
    host.run("rm /usr/local/bin/docker-credential-fake")
    assert "which cannot be run there; install it for kept" in run_with_conflict(deployment).problems[0]


def test_a_user_removed_from_the_settings_keeps_the_old_login(
    host: BenchHost, deployment: Deployment
) -> None:
    change_settings(deployment, registry_login_users=["root"])
    before = host.read(CONFIG)
    run(deployment)
    assert host.read(CONFIG) == before
    change_settings(deployment)
    assert run(deployment) == [f"write {CONFIG}: the login of ci is not as it should be"]


def test_what_users_get_wrong_keeps_neither_the_host_nor_a_rotation_waiting(
    host: BenchHost, deployment: Deployment
) -> None:
    """A broken configuration of a user's engine, and a credential helper without measure; root's file is a link."""
    host.run("su ci -c 'mkdir -p ~/.config/docker && echo { > ~/.config/docker/daemon.json'")
    host.write(
        "/usr/local/bin/docker-credential-fake",
        "#!/bin/sh\nhead -c 40000000 /dev/zero | tr '\\0' x\n",
        "0755",
    )
    host.run(
        f"mkdir /root/dotfiles && mv {ROOT_CONFIG} /root/dotfiles/ && ln -s ../dotfiles/config.json {ROOT_CONFIG}"
    )
    change_settings(deployment, registry_login_users=["root", "kept"])
    ran = deployment.run(deploy="deploys/rotate_credentials.py")
    assert ran.exit_code == 1, ran.output
    assert sorted(line.partition("] ")[2] for line in ran.problems) == [
        "/home/ci/.config/docker/daemon.json line 2 is not JSON (Expecting property name enclosed in double quotes); "
        "correct it and run again",
        "/home/kept/.docker/config.json line 1 keeps the logins of kept in docker-credential-fake, which fails "
        f"(exit code 141); see why (echo {NAME} | docker-credential-fake get, as kept), or remove it from that file, "
        "and run again",
    ]
    assert "write /root/dotfiles/config.json: the login of root is not as it should be" in ran.steps
    assert host.run(f"readlink {ROOT_CONFIG}").stdout == "../dotfiles/config.json\n"
    assert pull(host, "root") == "pulled"
    assert [step for step in ran.steps if "former passwords are refused from now on" in step], ran.output
    host.run("rm /home/ci/.config/docker/daemon.json /usr/local/bin/docker-credential-fake")
    change_settings(deployment)
    assert [step for step in run(deployment) if "the login of" in step] == [
        f"write {CONFIG}: the login of ci is not as it should be"
    ]


CONFLICTS = {
    "insecure-registries": (
        f"""echo '{{\n  "insecure-registries": [\n    "x.y",\n    "{NAME}"\n  ]\n}}' > /etc/docker/daemon.json""",
        "rm /etc/docker/daemon.json",
        f'/etc/docker/daemon.json line 4 has "{NAME}" in insecure-registries, so Docker checks no certificate of {NAME}',
    ),
    "skip_verify": (
        f"echo '# x\nskip_verify = true' > /etc/docker/certs.d/{NAME}/hosts.toml",
        f"rm /etc/docker/certs.d/{NAME}/hosts.toml",
        f"/etc/docker/certs.d/{NAME}/hosts.toml line 2 says 'skip_verify = true', so no certificate is checked there",
    ),
}


@pytest.mark.parametrize("name", CONFLICTS)
def test_a_conflict_is_quoted_before_anything_is_changed(
    host: BenchHost, deployment: Deployment, name: str
) -> None:
    make, undo, problem = CONFLICTS[name]
    host.run(f"{make}; rm {STORE}")
    assert problem in run_with_conflict(deployment).problems[0]
    host.run(f"{undo}; cp /etc/docker/certs.d/{NAME}/ca.crt {STORE}")


def test_afterwards_nothing_is_left_to_do(deployment: Deployment) -> None:
    assert run(deployment) == []
