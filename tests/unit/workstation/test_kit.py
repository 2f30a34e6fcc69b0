"""The kit: what it says of the registry, and that each file can be read by what it is for."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
import tomllib
from dataclasses import replace
from typing import Any

import pytest
import tree_sitter
import tree_sitter_powershell
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tasks.certificates.rollover import Successor
from tasks.settings.load import Settings
from tasks.state.files import StateError
from tasks.state.store import State
from tasks.workstation import kit
from tests.unit.workstation.kits import (
    CACHES,
    HOSTILE,
    NAME,
    NEW,
    NOW,
    OLD,
    SERVED,
    TEMPLATES,
    served,
    state,
    texts,
)

CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\n.*?-----END CERTIFICATE-----", re.DOTALL)


def test_it_has_what_the_certificate_has() -> None:
    found = served(**HOSTILE)
    assert found.endpoints == [f"{NAME}:5443", "[fd00::10]:5443", "10.0.0.7:5443", "nas.homelab.local:5443"]
    assert found.names == [NAME, "nas.homelab.local", "mirror.homelab.local"]
    assert (found.registry, found.address, found.account) == (f"{NAME}:5443", "192.168.1.10", "only.one")
    assert (found.mirror, found.upstreams) == ("mirror.homelab.local:5443", ["docker.io", "ghcr.io"])
    assert served().account == "ci"


def test_what_the_certificate_lacks_yet_is_left_out() -> None:
    settings = Settings(registry_extra_names=["later.homelab.local"], **CACHES)  # type: ignore[arg-type]
    found = kit.kit(settings, state("192.168.1.10"), NOW)
    assert (found.endpoints, found.names) == ([NAME], [NAME])
    assert (found.mirror, found.upstreams, found.hosts_toml) == ("", [], [])


@pytest.mark.parametrize(
    ("settings", "found", "message"),
    [
        ({}, State(), "there is no registry yet; make deploy first"),
        ({}, State(authority=OLD), "there is no registry yet; make deploy first"),
        (
            {"registry_hostname": "new.homelab.local"},
            state("192.168.1.10"),
            "the registry's certificate has no name new.homelab.local yet; make deploy first",
        ),
        ({}, state(), "the registry's certificate has no address; set registry_address, then make deploy"),
        (
            {"registry_extra_names": ["10.0.0.7"]},
            state("10.0.0.7"),
            "the registry's certificate has no address; set registry_address, then make deploy",
        ),
    ],
)
def test_without_a_finished_run_there_is_none(settings: dict[str, Any], found: State, message: str) -> None:
    with pytest.raises(StateError, match=re.escape(message)):
        kit.kit(Settings(**settings), found, NOW)


@pytest.mark.parametrize(
    ("successor", "expected"),
    [
        (None, [OLD]),
        (Successor(NEW), [OLD, NEW]),
        (Successor(NEW, issuing_since=NOW.date()), [OLD, NEW]),
        (Successor(NEW, issuing_since=NOW.date() - dt.timedelta(days=40), retiring_old=True), [NEW]),
    ],
)
def test_during_a_rollover_both_cas_are_in_it(successor: Successor | None, expected: list[Any]) -> None:
    found = kit.kit(Settings(), state("192.168.1.10", successor=successor), NOW)
    assert found.ca_pem == "".join(each.certificate_pem for each in expected)
    assert found.fingerprints == [each.fingerprint for each in expected]
    assert found.sha1 == expected[-1].certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303
    for name, text in kit.texts(found, TEMPLATES).items():
        assert {*CERTIFICATE.findall(text)} in ({*CERTIFICATE.findall(found.ca_pem)}, set()), name
    for name in ("linux.sh", "macos.sh", "windows.ps1", "README.md"):
        assert all(each in kit.texts(found, TEMPLATES)[name] for each in found.fingerprints), name


@pytest.mark.parametrize("name", SERVED)
def test_scripts_have_the_ca_and_can_be_parsed(name: str) -> None:
    for script in kit.SCRIPTS:
        text = texts(name)[script]
        (certificate,) = CERTIFICATE.findall(text)
        assert x509.load_pem_x509_certificate(certificate.encode()) == OLD.certificate
        assert text.isascii()
        if script.endswith(".sh"):
            subprocess.run(["sh", "-n"], input=text, text=True, check=True)


@pytest.mark.parametrize("name", SERVED)
def test_powershell_can_be_parsed(name: str) -> None:
    """There is no PowerShell to try it with, but a grammar of it."""
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))
    text = texts(name)["windows.ps1"].encode()
    assert not parser.parse(text).root_node.has_error
    assert parser.parse(text.replace(b"'@", b"'", 1)).root_node.has_error


@pytest.mark.parametrize("name", ["macos.sh", "windows.ps1"])
def test_what_was_not_tried_says_so_at_its_top(name: str) -> None:
    assert "# Not tried: the project has no " in "\n".join(texts("plain")[name].splitlines()[:2])


def test_buildkit_reads_its_file() -> None:
    assert tomllib.loads(texts("caches")["buildkitd.default.toml"]) == {
        "registry": {
            **{
                each: {"ca": [f"/etc/docker/certs.d/{NAME}/ca.crt"]}
                for each in (NAME, "mirror.homelab.local")
            },
            **{each: {"mirrors": ["mirror.homelab.local"]} for each in ("docker.io", "ghcr.io")},
        }
    }
    assert list(tomllib.loads(texts("plain")["buildkitd.default.toml"])["registry"]) == [NAME]
    hostile = tomllib.loads(texts("hostile")["buildkitd.default.toml"])["registry"]
    assert hostile["[fd00::10]:5443"] == {"ca": [f"/etc/docker/certs.d/{NAME}:5443/ca.crt"]}


def test_kind_mounts_what_containerd_looks_for() -> None:
    found = texts("hostile")
    (node,) = yaml.safe_load(found["kind.yaml"])["nodes"]
    (mount,) = node["extraMounts"]
    assert (mount["hostPath"], mount["containerPath"]) == ("certs.d", kit.CERTS)
    paths = {path: text for path, text in found.items() if path.startswith("certs.d/")}
    assert {path for path, text in paths.items() if text == OLD.certificate_pem} == {
        f"certs.d/{name}_5443_/ca.crt"
        for name in (NAME, "10.0.0.7", "nas.homelab.local", "mirror.homelab.local")
    }
    for upstream in ("docker.io", "ghcr.io"):
        hosts = tomllib.loads(paths[f"certs.d/{upstream}/hosts.toml"])["host"]
        (mirror,) = hosts
        assert mirror == "https://mirror.homelab.local:5443"
        assert hosts[mirror]["ca"].replace(kit.CERTS, "certs.d") in paths
    for patch in yaml.safe_load(found["kind.yaml"])["containerdConfigPatches"]:
        ((_, plugin),) = tomllib.loads(patch)["plugins"].items()
        assert plugin == {"registry": {"config_path": kit.CERTS}}


def test_k3s_reads_its_file() -> None:
    found = yaml.safe_load(texts("hostile")["k3d-registries.yaml"])
    assert found["configs"]["[fd00::10]:5443"] == {"tls": {"ca_file": "/etc/homelab-registry/ca.crt"}}
    assert found["mirrors"]["ghcr.io"] == {"endpoint": ["https://mirror.homelab.local:5443"]}
    assert "mirrors" not in yaml.safe_load(texts("plain")["k3d-registries.yaml"])


@pytest.mark.parametrize(
    ("endpoint", "folder"),
    [
        (NAME, NAME),
        (f"{NAME}:5443", f"{NAME}_5443_"),
        ("192.0.2.1:5443", "192.0.2.1_5443_"),
        ("[fd00::1]:5443", "[fd00::1]_5443_"),
        ("[fd00::1]", "[fd00::1]"),
    ],
)
def test_folders_without_the_colon_of_a_port(endpoint: str, folder: str) -> None:
    assert kit.folder_of(endpoint) == folder


def test_nothing_in_it_depends_on_what_is_secret() -> None:
    found = state("192.168.1.10")
    assert found.leaf
    other = replace(found, passwords={"ci": "a-password"}, http_secret="a-secret")
    files = kit.texts(kit.kit(Settings(), other, NOW), TEMPLATES)
    assert files == kit.texts(kit.kit(Settings(), found, NOW), TEMPLATES)
    assert "PRIVATE KEY" not in "".join(files.values())
