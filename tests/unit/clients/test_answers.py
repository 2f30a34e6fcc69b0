"""What the answers of real runtimes mean: each text was printed by the program that it is listed for."""

from __future__ import annotations

import pytest

from tasks.clients.answers import Meaning, Verdict, port_of, read, remedy
from tasks.clients.questions import CANNOT_ASK, DOES_NOT_RUN, IMAGE

NAME = "registry.homelab.local"
REFERENCE = f"{NAME}/{IMAGE}"
V2 = f'"https://{NAME}/v2/"'
MANIFEST = f"https://{NAME}/v2/homelab-registry/probe/manifests/none"
RESOLVE_1 = (
    f'failed to pull and unpack image \\"{REFERENCE}\\": failed to resolve reference \\"{REFERENCE}\\"'
)
RESOLVE_2 = f'failed to pull and unpack image \\"{REFERENCE}\\": failed to resolve image'
CRICTL = (
    'time="2026-11-28T19:16:04Z" level=warning msg="Config \\"/etc/crictl.yaml\\" does not exist, trying next"\n'
    'E1128 19:16:04.155408 2390 log.go:32] "PullImage from image service failed" err="rpc error: {}" image="x"\n'
    'time="2026-11-28T19:16:04Z" level=fatal msg="pulling image: {}"\n'
)
DAEMON = "Error response from daemon: "
PODMAN = f"Trying to pull {REFERENCE}...\nError: initializing source docker://{REFERENCE}: "
PING = f"pinging container registry {NAME}: Get {V2}: "
NO_LOGIN = "pull access denied, repository does not exist or may require authorization: authorization failed"


def crictl(error: str) -> str:
    return CRICTL.format(error, error)


ANSWERS: dict[str, tuple[str, Meaning, str]] = {
    "Docker 20.10, 28": (f'{DAEMON}Head "{MANIFEST}": no basic auth credentials', "trusts", "no basic auth credentials"),
    "Podman 4.3, 5.4": (f"{PODMAN}reading manifest none in {NAME}/homelab-registry/probe: unauthorized", "trusts", ""),
    "containerd 1.6": (
        crictl(f"{RESOLVE_1}: pulling from host {NAME} failed with status code [manifests none]: 401 Unauthorized"),
        "trusts", "",
    ),
    "containerd 2.1, 2.3": (crictl(f"{RESOLVE_2}: {NO_LOGIN}: no basic auth credentials"), "trusts", ""),
    "containerd with a login": (crictl(f"{RESOLVE_2}: {REFERENCE}: not found"), "trusts", ""),
    "Docker, no CA": (
        f"{DAEMON}Get {V2}: tls: failed to verify certificate: x509: certificate signed by unknown authority",
        "distrusts", "tls: failed to verify certificate: x509: certificate signed by unknown authority",
    ),
    "containerd, no CA": (
        crictl(f'{RESOLVE_1}: failed to do request: Head \\"{MANIFEST}\\": x509: certificate signed by unknown authority'),
        "distrusts", "x509: certificate signed by unknown authority",
    ),
    "Podman, another name": (f"{PODMAN}{PING}x509: certificate is valid for a.b, not {NAME}", "distrusts",
                             f"x509: certificate is valid for a.b, not {NAME}"),
    "Docker, plain HTTP": (f"{DAEMON}Get {V2}: http: server gave HTTP response to HTTPS client", "distrusts",
                           "http: server gave HTTP response to HTTPS client"),
    "Docker, no name": (f"{DAEMON}Get {V2}: dial tcp: lookup {NAME} on 127.0.0.11:53: no such host", "unreached",
                        f"dial tcp: lookup {NAME} on 127.0.0.11:53: no such host"),
    "Docker, dropped": (f"{DAEMON}Get {V2}: context deadline exceeded", "unreached", "context deadline exceeded"),
    "Podman, nobody listens": (
        f'time="…" level=warning msg="Failed, retrying in 1s ... (1/3). Error: initializing source"\n{PODMAN}{PING}'
        "dial tcp 10.231.113.133:443: connect: connection refused",
        "unreached", "dial tcp 10.231.113.133:443: connect: connection refused",
    ),
    "Docker, the proxy is away": (f"{DAEMON}Get {V2}: proxyconnect tcp: dial tcp 127.0.0.1:3128: connect: connection refused",
                                  "unreached", "proxyconnect tcp: dial tcp 127.0.0.1:3128: connect: connection refused"),
    "Docker, the proxy refuses": (f"{DAEMON}Get {V2}: Forbidden", "unreached", "Forbidden"),
    "Docker, the proxy wants a login": (f"{DAEMON}Get {V2}: Proxy Authentication Required", "unreached",
                                        "Proxy Authentication Required"),
    "curl, no CA": ("curl: (60) SSL certificate problem: unable to get local issuer certificate", "distrusts",
                    "curl: (60) SSL certificate problem: unable to get local issuer certificate"),
    "openssl, no CA": ("CONNECTED(00000003)\nverify error:num=20:unable to get local issuer certificate\nclosed",
                       "distrusts", "verify error:num=20:unable to get local issuer certificate"),
    "openssl, no name": ("BIO_lookup_ex:system lib:Name or service not known\nconnect:errno=22", "unreached", "connect:errno=22"),
    "openssl, an older one": ("s_client: Option unknown option -verify_hostname", "unclear",
                              "s_client: Option unknown option -verify_hostname"),
    "openssl, an alert": ("CONNECTED(00000003)\nno peer certificate available", "unclear", "no peer certificate available"),
    "Docker, another error": (f"{DAEMON}toomanyrequests: slow down", "unclear", "toomanyrequests: slow down"),
    "Docker, its daemon is away": ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", "not asked", ""),
    "crictl, containerd is away": (crictl('validate service connection: dial unix /run/x.sock: connect: connection refused'),
                                   "not asked", ""),
    "nothing": ("", "unclear", "exit code 1, and no word"),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_mean(name: str) -> None:
    printed, meaning, words = ANSWERS[name]
    verdict = read("ask_docker", 1, printed)
    assert verdict.meaning == meaning
    assert verdict.words == words or not words


def test_an_image_that_nobody_has_is_no_proof_if_it_is_pulled() -> None:
    """A program of that name that does nothing ends well, too."""
    assert read("ask_cri", 0, "").meaning == "unclear"
    assert read("ask_tls", 0, "anything").meaning == "trusts"


def test_caches_that_ask_for_a_login_are_none() -> None:
    for said in ("HTTP/1.1 401 Unauthorized", "curl: (22) The requested URL returned error: 401"):
        assert read("ask_mirror", 22, said) == Verdict("unclear", said)
    assert read("ask_mirror", 0, "").meaning == "trusts"


def test_who_cannot_ask_or_gets_no_answer() -> None:
    assert {read("ask_tls", code, "x").meaning for code in (CANNOT_ASK, DOES_NOT_RUN)} == {"not asked"}
    assert read("ask_cri", 124, "") == Verdict("unreached", "no answer within 20 s")


REMEDIES = {
    "x509: certificate has expired or is not yet valid: …": "set the clocks",
    "x509: certificate signed by unknown authority": f"openssl s_client -connect {NAME}:5443 -servername {NAME}",
    "http: server gave HTTP response to HTTPS client": "another certificate is served to it than nas serves",
    "dial tcp: lookup x: no such host": "getent hosts",
    "proxyconnect tcp: dial tcp 127.0.0.1:3128: connect: connection refused": f"add {NAME} to NO_PROXY",
    "Forbidden": f"add {NAME} to NO_PROXY",
    "no answer within 20 s": "a firewall on nas or on the way keeps port 5443 of 192.168.1.10 from it",
    "dial tcp 192.168.1.10:5443: connect: no route to host": "iptables -nvL DOCKER-USER",
}


@pytest.mark.parametrize("words", REMEDIES)
def test_remedies(words: str) -> None:
    given = {"host": NAME, "endpoint": f"{NAME}:5443", "address": "192.168.1.10", "registry_host": "nas"}
    found = remedy(words, **given, managed=True)
    assert REMEDIES[words] in found
    assert found.endswith("and run again")
    if "no such host" in words:
        assert "registry_manage_hosts_file" in remedy(words, **given, managed=False)


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [
        (NAME, "443"),
        (f"{NAME}:5443", "5443"),
        ("192.0.2.1", "443"),
        ("[fd00::1]", "443"),
        ("[fd00::1]:5", "5"),
    ],
)
def test_the_port_of_an_endpoint(endpoint: str, port: str) -> None:
    assert port_of(endpoint) == port
