"""Proxies as Go reads them, and as a process of this machine shows them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tasks.clients import proxies
from tasks.clients.proxies import ProxySettings, bypassed
from tasks.remote.fact_scripts import read_answer, script

NAME = "registry.homelab.local"

# (NO_PROXY, host, port, whether the proxy is not asked), from the cases of x/net's httpproxy/proxy_test.go and ours.
CASES = [
    ("", NAME, 443, False),
    ("*", NAME, 443, True),
    ("a.b, *", NAME, 443, True),
    ("*.local.x", NAME, 443, False),
    (NAME, NAME, 443, True),
    (NAME.upper(), NAME, 443, True),
    (f" {NAME} ", NAME, 443, True),
    (f"localhost {NAME}", NAME, 443, False),
    (f"localhost;{NAME}", NAME, 443, False),
    ("homelab.local", NAME, 443, True),
    (".homelab.local", NAME, 443, True),
    ("*.homelab.local", NAME, 443, True),
    (f".{NAME}", NAME, 443, False),
    ("lab.local", NAME, 443, False),
    ("local", NAME, 443, True),
    ("registry", NAME, 443, False),
    ("registry.*", NAME, 443, False),
    (f"{NAME}:443", NAME, 443, True),
    (f"{NAME}:443", NAME, 5443, False),
    ("homelab.local:5443", NAME, 5443, True),
    (f"https://{NAME}", NAME, 443, False),
    (":443", NAME, 443, False),
    ("192.168.0.0/16", NAME, 443, False),
    ("192.168.0.0/16", "192.168.1.10", 443, True),
    ("192.168.1.1/16", "192.168.1.10", 443, True),
    ("192.168.0.0/255.255.0.0", "192.168.1.10", 443, False),
    ("192.168.1.10", "192.168.1.10", 443, True),
    ("192.168.1.10:443", "192.168.1.10", 443, True),
    ("192.168.1.10:80", "192.168.1.10", 443, False),
    ("192.168.1", "192.168.1.10", 443, False),
    ("192.168.", "192.168.1.10", 443, False),
    ("fd00::/8", "fd00::1", 443, True),
    ("fd00::1", "fd00::1", 443, True),
    ("[fd00::1]:443", "fd00::1", 443, True),
    ("[fd00::1]:80", "fd00::1", 443, False),
    ("10.0.0.0/8", "fd00::1", 443, False),
    ("", "localhost", 443, True),
    ("", "127.0.0.2", 443, True),
]


@pytest.mark.parametrize(("value", "host", "port", "expected"), CASES)
def test_no_proxy_is_read_as_go_reads_it(value: str, host: str, port: int, *, expected: bool) -> None:
    assert bypassed(value, host, port) is expected


@pytest.mark.parametrize(
    ("variables", "prefix", "asked"),
    [
        ({}, "", False),
        ({"HTTPS_PROXY": "set"}, "", True),
        ({"https_proxy": "set"}, "", True),
        ({"HTTP_PROXY": "set", "ALL_PROXY": "set"}, "", False),  # Go asks neither for https
        ({"HTTPS_PROXY": "set", "NO_PROXY": NAME}, "", False),
        ({"HTTPS_PROXY": "set", "no_proxy": NAME}, "", False),
        ({"HTTPS_PROXY": "set", "NO_PROXY": "", "no_proxy": NAME}, "", False),
        ({"HTTPS_PROXY": "set", "NO_PROXY": "x.y", "no_proxy": NAME}, "", True),
        ({"CONTAINERD_HTTPS_PROXY": "set"}, "", False),
        ({"CONTAINERD_HTTPS_PROXY": "set"}, "CONTAINERD_", True),
        ({"CONTAINERD_HTTPS_PROXY": "set", "NO_PROXY": NAME}, "CONTAINERD_", False),
        ({"HTTPS_PROXY": "set", "NO_PROXY": NAME, "CONTAINERD_NO_PROXY": "x.y"}, "CONTAINERD_", True),
    ],
)
def test_which_variables_count(variables: dict[str, str], prefix: str, *, asked: bool) -> None:
    assert ProxySettings(variables, "/a").way(NAME, 443, prefix) == ("/a" if asked else None)


def emitted(environment: dict[str, str]) -> dict[str, ProxySettings]:
    """Run the shell lines on a process with this environment."""
    waiting = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with subprocess.Popen(
        waiting, env={"PATH": "/usr/bin:/bin", **environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        text = script(proxies.EMIT, f"emit_proxy here {process.pid}")
        done = subprocess.run(["sh", "-c", text], capture_output=True, text=True, check=True)
        process.communicate(b"")
    return proxies.read(read_answer(done.stdout.splitlines()))


def test_a_process_shows_its_settings_and_no_password() -> None:
    found = emitted(
        {"HTTPS_PROXY": "http://u:secret@p:1", "no_proxy": "a.b,*=x\nz", "HTTP_PROXY": "http://q"}
    )
    assert found["here"].variables == {"HTTPS_PROXY": "set", "no_proxy": "a.b,*=x z"}
    assert emitted({"NO_PROXY": "a.b", "HTTPS_PROXY": ""}) == {}


def test_a_process_that_is_gone_has_none(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", script(proxies.EMIT, "emit_proxy here 0")], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert proxies.read(read_answer(done.stdout.splitlines())) == {}
