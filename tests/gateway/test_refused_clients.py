"""What each client shows if the account's role does not permit the request; and the roles over HTTP/2."""

from __future__ import annotations

import json

import pytest

from tests.bench.hosts import Result
from tests.gateway import access
from tests.gateway.access import ROLES, denial_message, endpoints, expected, unknown_callers
from tests.gateway.gateway import ACCOUNTS, NAME, Gateway
from tests.gateway.wire import all_stored, store

CA = f"/etc/docker/certs.d/{NAME}/ca.crt"
IMAGE = f"{NAME}/refused/image:v1"
LAYOUT = "/tmp/layout"
PACKAGES = "curl podman skopeo"

# The refusal is the gateway's own, so the registry's version does not matter.
pytestmark = pytest.mark.parametrize("gateway", ["2.8"], indirect=True)


@pytest.fixture(scope="module")
def host(gateway: Gateway) -> Gateway:
    """The registry host with all clients, an image in each, and an image pushed by admin."""
    gateway.deploy(registry_max_guesses=1000)
    run = gateway.host.run
    run(
        f"apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends {PACKAGES}"
    )
    run(f"mkdir -p /etc/containers/certs.d/{NAME} && cp {CA} /etc/containers/certs.d/{NAME}/")
    run("echo content > /tmp/content && tar -C /tmp -cf /tmp/image.tar content")
    run(f"docker import /tmp/image.tar {IMAGE} && podman import -q /tmp/image.tar {IMAGE}")
    gateway.crane("admin", f"append -f /tmp/image.tar -t {IMAGE}")
    gateway.crane("admin", f"pull --format=oci {IMAGE} {LAYOUT}")
    return gateway


def client(gateway: Gateway, role: str, command: str) -> Result:
    """Run a client with the login of the account with this role."""
    folder = f"/root/login-{role}"
    auths = {NAME: {"auth": gateway.authorization(role).removeprefix("Basic ")}}
    gateway.host.write(f"{folder}/config.json", json.dumps({"auths": auths}), "0600")
    environment = {
        "DOCKER_CONFIG": folder, "REGISTRY_AUTH_FILE": f"{folder}/config.json", "SSL_CERT_FILE": CA,
    }  # fmt: skip
    return gateway.host.run(command, check=False, environment=environment)


@pytest.mark.parametrize(
    "command",
    [
        f"docker push {IMAGE}",
        f"podman push {IMAGE}",
        f"skopeo copy oci:{LAYOUT} docker://{IMAGE}",
        f"crane push {LAYOUT} {NAME}/refused/new:v1",  # crane does not push what exists already
    ],
    ids=["docker", "podman", "skopeo", "crane"],
)
def test_a_refused_push_shows_the_reason(host: Gateway, command: str) -> None:
    result = client(host, "pull", command)
    assert result.exit_code != 0
    assert denial_message("pull", "PUT") in result.stdout + result.stderr
    assert client(host, "push", command).exit_code == 0


@pytest.mark.parametrize("command", ["skopeo delete docker://", "crane delete "], ids=["skopeo", "crane"])
@pytest.mark.parametrize("role", ["pull", "push"])
def test_a_refused_delete_shows_the_reason(host: Gateway, role: str, command: str) -> None:
    host.crane("admin", f"append -f /tmp/image.tar -t {IMAGE}")
    digest = host.crane("admin", f"digest {IMAGE}").stdout.strip()
    before = all_stored(host)
    result = client(host, role, f"{command}{NAME}/refused/image@{digest}")
    assert result.exit_code != 0
    assert denial_message(role, "DELETE") in result.stdout + result.stderr
    assert all_stored(host) == before
    assert client(host, "admin", f"{command}{NAME}/refused/image@{digest}").exit_code == 0


@pytest.mark.parametrize("program", ["docker", "podman", "skopeo", "crane"])
def test_a_wrong_password_error_does_not_mention_roles(host: Gateway, program: str) -> None:
    command = "auth login" if program == "crane" else "login"
    result = host.host.run(
        f"{program} {command} -u {ACCOUNTS['admin']} --password-stdin {NAME}",
        stdin="a-wrong-guess", check=False, environment={"SSL_CERT_FILE": CA, "DOCKER_CONFIG": "/tmp/none"},
    )  # fmt: skip
    assert ("role" in result.stderr, result.exit_code != 0) == (False, program != "crane")


def test_roles_over_http2(host: Gateway) -> None:
    """curl sends the same table as over HTTP/1.1; if the registry decides, the gateway must not refuse."""
    stored = store(host, "roles/second")
    before = all_stored(host)
    callers = {**{role: host.authorization(role) for role in ROLES}, **unknown_callers(host)}
    asked = [
        (caller, method, place, target)
        for place, target in endpoints("roles/second", stored).items()
        for method in ("GET", "HEAD", "PUT", "DELETE", "FOO")
        for caller in callers
        if (caller, method) != ("admin", "DELETE")
    ]
    config = []
    for caller, method, _, target in asked:
        config += [
            f'url = "https://{NAME}{target}"',
            "output = /dev/null",
            "path-as-is",
            "http2",
            f"cacert = {CA}",
        ]
        config += [r'write-out = "%{http_version} %{http_code} %header{www-authenticate}\n"']
        config += ["head"] if method == "HEAD" else [f"request = {method}"]
        config += [f'header = "Authorization: {callers[caller]}"'] if callers[caller] else []
        config += ["next"]
    host.host.write("/tmp/requests", "\n".join(config[:-1]), "0600")
    output = host.host.run("curl -sS --config /tmp/requests").stdout.splitlines()
    wrong = []
    for (caller, method, place, target), line in zip(asked, output, strict=True):
        version, status, challenge = line.split(" ", 2)
        right = expected(method, place, caller) if caller in ROLES else 401
        if right == access.REGISTRY_DECIDES:
            good = status not in {"401", "403", "503"}
        else:
            good = (int(status), challenge) == (right, access.CHALLENGE if right == 401 else "")
        if version != "2" or not good:
            wrong.append(f"{caller}: {method} {target}: {line}")
    assert wrong == []
    assert all_stored(host) == before
