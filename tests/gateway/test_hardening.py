"""What an attacker can learn and do at the gateway: TLS as testssl.sh rates it, headers, the log, the containers."""

from __future__ import annotations

import json
import socket
import subprocess

import pytest

from tests.gateway.conftest import DEBIAN_13
from tests.gateway.gateway import NAME, Gateway, basic
from tests.gateway.leaf_race import connect_meanwhile, replacing_script

PUBLIC_CA_FINDINGS = {"cert_revocation"}
"""Findings that do not apply to a private CA: testssl.sh expects a CRL or OCSP address in the certificate."""

SUITES = {
    "-tls1_2": {
        "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305",
    },
    "-tls1_3": {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"},
}  # fmt: skip


# For what the gateway alone does the registry's version does not matter.
GATEWAY_ALONE = pytest.mark.parametrize("gateway", ["2.8"], indirect=True)


@GATEWAY_ALONE
@pytest.mark.soak
def test_testssl_finds_nothing_of_medium_severity_or_above(gateway: Gateway) -> None:
    """The next tests have protocols and ciphers outside of `make soak`, too."""
    gateway.host.run("apt-get update -q && apt-get install -q -y testssl.sh")
    gateway.host.run(
        f"testssl --quiet --warnings off --ip {gateway.address} --add-ca /etc/docker/certs.d/{NAME}/ca.crt "
        f"--jsonfile /tmp/found.json https://{NAME} >/tmp/said 2>&1",
        timeout=900,
        check=False,  # its exit code is the number of findings
    )
    found = json.loads(gateway.host.read("/tmp/found.json"))
    assert len(found) > 100
    bad = [each for each in found if each["severity"] in {"MEDIUM", "HIGH", "CRITICAL", "FATAL"}]
    assert [each for each in bad if each["id"] not in PUBLIC_CA_FINDINGS] == []
    judged = {each["id"]: each["severity"] for each in found}
    for vulnerability in (
        "heartbleed",
        "ROBOT",
        "secure_renego",
        "CRIME_TLS",
        "POODLE_SSL",
        "SWEET32",
        "LUCKY13",
    ):
        assert judged[vulnerability] == "OK", vulnerability


@GATEWAY_ALONE
@pytest.mark.parametrize("version", SUITES)
def test_only_authenticated_encryption_is_accepted(gateway: Gateway, version: str) -> None:
    """Try a handshake with each cipher suite that openssl has."""
    listed = subprocess.run(
        ["openssl", "ciphers", "-s", version, "ALL:COMPLEMENTOFALL:@SECLEVEL=0"],
        capture_output=True, text=True, check=True,
    ).stdout.strip().split(":")  # fmt: skip
    assert len(listed) >= (60 if version == "-tls1_2" else 3)
    taken = {suite for suite in listed if handshake(gateway, version, suite) == suite}
    assert taken == SUITES[version]


@GATEWAY_ALONE
@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_older_versions_are_refused(gateway: Gateway, version: str) -> None:
    assert handshake(gateway, version, "ALL:@SECLEVEL=0") is None


def handshake(gateway: Gateway, version: str, suite: str) -> str | None:
    """Return the cipher suite of a handshake, or None if it fails."""
    choice = "-ciphersuites" if version == "-tls1_3" else "-cipher"
    level = "" if version == "-tls1_3" else ":@SECLEVEL=0"
    suite = suite.removesuffix(":@SECLEVEL=0")
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"{gateway.address}:443", "-servername", NAME, version, choice,
         f"{suite}{level}", "-brief"],
        input="", capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    for line in done.stderr.splitlines():
        if line.startswith("Ciphersuite: "):
            return line.removeprefix("Ciphersuite: ")
    return None


def test_no_answer_reveals_a_version(gateway: Gateway) -> None:
    admin = gateway.authorization("admin")
    answers = [
        gateway.request(method, target, authorization)
        for authorization in (None, admin)
        for method, target in (
            ("GET", "/v2/"),
            ("GET", "/"),
            ("FOO", "/v2/"),
            ("GET", "/v2/x/tags/list"),
            ("GET", "/v2/%00"),
        )
    ]
    assert {answer.status for answer in answers} == {200, 400, 401, 404, 405}
    for answer in answers:
        assert answer.header("Server") == "nginx"
        assert b"nginx" not in answer.body
        assert answer.header("X-Content-Type-Options") == "nosniff"


@GATEWAY_ALONE
def test_plain_http_gets_an_explanation(gateway: Gateway) -> None:
    with socket.create_connection((gateway.address, 443), timeout=30) as connection:
        connection.sendall(f"GET /v2/ HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"Content-Type: text/plain" in head
    assert body == b"This port speaks HTTPS only: use https:// here.\n"


def test_the_access_log_has_the_request_line_and_no_header(gateway: Gateway) -> None:
    password = gateway.password("pull")
    marked = f"/v2/logged/manifests/v1?secret={password}"
    gateway.request("GET", marked, gateway.authorization("pull"), {"User-Agent": "agent-in-a-header"})
    gateway.request(
        "PUT", "/v2/logged/manifests/v2", basic("cluster", "a-wrong-guess"), {"Cookie": "a-cookie"}
    )
    logs = "docker logs homelab-registry-gateway 2>&1"
    both = "grep '/v2/logged/manifests/v1.*404' /tmp/log && grep '/v2/logged/manifests/v2.*401' /tmp/log"
    gateway.host.wait_until(f"{logs} > /tmp/log; {both}", 10, "the log's last line")
    log = gateway.host.run(logs).stdout
    entries = [json.loads(line) for line in log.splitlines() if '"path":"/v2/logged/' in line]
    assert [set(line) for line in entries] == [
        {"time", "from", "account", "method", "path", "status", "bytes", "seconds", "request"}
    ] * 2
    # Each nginx worker flushes its own lines, so their order may differ.
    assert sorted((line["account"], line["method"], line["path"], line["status"]) for line in entries) == [
        ("cluster", "GET", "/v2/logged/manifests/v1", 404),
        ("cluster", "PUT", "/v2/logged/manifests/v2", 401),
    ]
    for secret in (
        password,
        gateway.authorization("pull").split()[1],
        "a-wrong-guess",
        "agent-in-a-header",
        "a-cookie",
    ):
        assert secret not in log


@pytest.mark.parametrize("gateway", ["2.8", pytest.param(DEBIAN_13, marks=pytest.mark.soak)], indirect=True)
def test_no_handshake_gets_halves_of_two_leaves(
    gateway: Gateway, soak: bool, request: pytest.FixtureRequest
) -> None:
    """nginx opens certificate and key one after the other; replacing one file failed a handshake in fifty here."""
    nginx = "1.26" if DEBIAN_13 in request.node.name else "1.22"
    found = gateway.host.run("docker exec homelab-registry-gateway nginx -v").stderr
    assert f"nginx/{nginx}." in found
    count = 2700 if soak else 150
    script = replacing_script(gateway.deployment, gateway.address, count)
    outcomes = connect_meanwhile(gateway.host, gateway.deployment, script)
    print(f"nginx {nginx}, {count} replacements: {dict(outcomes)}")
    assert set(outcomes) == {"connected"}
    assert outcomes["connected"] >= (20000 if soak else 2 * count)


@pytest.mark.parametrize("container", ["homelab-registry", "homelab-registry-gateway"])
def test_a_container_can_write_only_to_its_mounts(gateway: Gateway, container: str) -> None:
    (state,) = json.loads(gateway.host.run(f"docker inspect {container}").stdout)
    host = state["HostConfig"]
    assert (host["ReadonlyRootfs"], host["CapAdd"], host["CapDrop"]) == (True, None, ["ALL"])
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "5", "max-size": "10m"}}
    assert state["Config"]["User"] == "60706:60706"
    status = gateway.host.run(f"cat /proc/{state['State']['Pid']}/status").stdout
    assert (
        dict.fromkeys(("CapPrm", "CapEff", "CapBnd"), "0000000000000000").items()
        <= {
            key: value.strip() for key, _, value in (line.partition(":") for line in status.splitlines())
        }.items()
    )
    writable = {mount["Destination"] for mount in state["Mounts"] if mount["RW"]}
    assert writable == ({"/var/lib/registry", "/run/registry"} if container == "homelab-registry" else set())
    tried = gateway.host.run(f"docker exec {container} sh -c 'echo x > /x'", check=False)
    assert "Read-only file system" in tried.stderr
