"""What each client shows if the account's role does not permit the request, or storage is full; roles over HTTP/2."""

from __future__ import annotations

import hashlib
import json
import re

import pytest

from tests.bench.hosts import BenchHost, Result
from tests.bench.programs import BUILDKIT
from tests.gateway import access
from tests.gateway.access import ROLES, denial_message, endpoints, expected, unknown_callers
from tests.gateway.gateway import ACCOUNTS, NAME, Gateway
from tests.gateway.wire import STORED, all_stored, store

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


FULL = (
    r"the registry's storage is full: \d+\.\d of 0\.01 MB are used; run make make-room \(docs/by-task\.md#the-disk-is-full\) or "
    "raise registry_storage_limit, and push again"
)
LARGE = 2**31
LARGE_DIGEST = "a7c744c13cc101ed66c29f672f92455547889cc586ce6d44fe76ae824958ea51"
"""SHA-256 of that many bytes of zero."""

BUILD = f"""
mkdir -p /tmp/build && cd /tmp/build && date +%N > content && printf 'FROM scratch\nCOPY content /\n' > Dockerfile
printf '[registry."{NAME}"]\n  ca = ["{CA}"]\n' > buildkitd.toml
buildkitd --config buildkitd.toml --oci-worker-snapshotter=native > log 2>&1 &
trap "kill $!" EXIT
until buildctl debug workers > /dev/null 2>&1; do sleep 0.2; done
buildctl build --frontend dockerfile.v0 --local context=. --local dockerfile=. --output type=image,name={NAME}/built:v1,push=true
"""


@pytest.fixture(scope="module")
def full(host: Gateway) -> Gateway:
    """The registry with a limit below what it stores, and in each client an image that it does not have."""
    store(host, "roles/second")
    host.deploy(registry_max_guesses=1000, registry_storage_limit="0.01MB")
    run = host.host.run
    run("date > /tmp/content && tar -C /tmp -cf /tmp/other.tar content")
    run(f"docker import /tmp/other.tar {NAME}/other:v1 && podman import -q /tmp/other.tar {NAME}/other:v1")
    give_large_image(host.host)
    host.host.give(*BUILDKIT)
    return host


def give_large_image(host: BenchHost) -> None:
    """Make an image with one sparse layer, in the form that skopeo and crane push from."""
    blobs = "/tmp/large/blobs/sha256"
    index = json.loads(host.read(f"{LAYOUT}/index.json"))
    manifest = json.loads(host.read(f"{LAYOUT}/blobs/{index['manifests'][0]['digest'].replace(':', '/')}"))
    manifest["layers"][0].update(size=LARGE, digest=f"sha256:{LARGE_DIGEST}")
    text = json.dumps(manifest)
    digest = hashlib.sha256(text.encode()).hexdigest()
    index["manifests"][0].update(size=len(text), digest=f"sha256:{digest}")
    host.run(f"cp -r {LAYOUT} /tmp/large && truncate -s {LARGE} {blobs}/{LARGE_DIGEST}")
    host.write(f"{blobs}/{digest}", text)
    host.write("/tmp/large/index.json", json.dumps(index))


def unfinished(gateway: Gateway) -> str:
    """Return the files of uploads that were begun and not finished."""
    return gateway.host.run(f"find {STORED} -type f -path '*/_uploads/*'").stdout


@pytest.mark.parametrize(
    "command",
    [
        f"docker push {NAME}/other:v1",
        f"podman push {NAME}/other:v1",
        f"skopeo copy oci:/tmp/large docker://{NAME}/other:v1",
        f"crane push /tmp/large {NAME}/other:v1",
        BUILD,
    ],
    ids=["docker", "podman", "skopeo", "crane", "buildkit"],
)
def test_a_push_to_full_storage_shows_figures_and_remedy(full: Gateway, command: str) -> None:
    before = all_stored(full) + unfinished(full)
    result = client(full, "push", command)
    print(result.stdout, result.stderr)
    assert result.exit_code != 0
    assert re.search(FULL, result.stdout + result.stderr)
    assert all_stored(full) + unfinished(full) == before


def test_a_push_of_2_gb_is_refused_within_a_second_before_its_first_byte(full: Gateway) -> None:
    before = all_stored(full) + unfinished(full)
    config = f'user = "{ACCOUNTS["push"]}:{full.password("push")}"\ncacert = {CA}\n'
    full.host.write("/tmp/curl", config, "0600")
    curl = "curl -sS -K /tmp/curl -o /dev/null -w '%{http_code} %{size_upload} %{time_total}' -X POST"
    status, sent, seconds = full.host.run(f"{curl} https://{NAME}/v2/other/blobs/uploads/").stdout.split()
    assert (status, sent, float(seconds) < 1) == ("403", "0", True)
    crane = client(full, "push", f"bash -c 'time crane push /tmp/large {NAME}/other:v1'")
    minutes, took = re.findall(r"real\t(\d+)m([\d.]+)s", crane.stderr)[0]
    assert (minutes, float(took) < 1) == ("0", True), crane.stderr
    assert all_stored(full) + unfinished(full) == before
