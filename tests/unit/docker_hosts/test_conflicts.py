"""Configuration that makes a Docker Engine skip the check of our certificate or ignore the CA is quoted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tasks.clients.hosts_file import HostsFile
from tasks.clients.plan import ClientHost
from tasks.docker_hosts import plan as docker_hosts
from tasks.settings.load import Settings
from tests.unit.docker_hosts.test_plan import (
    CERTS,
    DIRECTORY,
    FOLDER,
    HOSTS,
    LOCALHOST,
    converged,
    stop,
    texts,
    with_text,
)

PORT: dict[str, Any] = {"registry_port": 5443, "registry_extra_names": ["images.homelab.local", "fd00::1"]}
DAEMON = "/etc/docker/daemon.json"


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ("registry.homelab.local:5443", "registry.homelab.local"),
        ("registry.homelab.local", "registry.homelab.local"),
        ("Registry.homelab.local:5443", "registry.homelab.local"),
        ("https://registry.homelab.local:5443", "registry.homelab.local"),
        ("images.homelab.local:5443", "images.homelab.local"),
        ("[fd00::1]:5443", "fd00::1"),
        ("192.168.1.0/24", "registry.homelab.local (192.168.1.10)"),
        ("192.168.1.77/24", "registry.homelab.local (192.168.1.10)"),
        ("192.168.1.10/32", "registry.homelab.local (192.168.1.10)"),
        ("0.0.0.0/0", "registry.homelab.local (192.168.1.10)"),
        ("fd00::/8", "fd00::1"),
        ("registry.homelab.local:5000", None),
        ("homelab.local", None),
        ("192.168.2.0/24", None),
        ("10.0.0.0/8", None),
        ("not/a network", None),
    ],
)
@pytest.mark.parametrize("way", ["file", "--insecure-registry=", "--insecure-registry"])
def test_an_insecure_registry_of_ours_is_quoted(way: str, entry: str, what: str | None) -> None:
    found = converged(**PORT)
    entries = f'"{entry}"'
    if way == "file":
        text = f'{{\n  "registry-mirrors": [{entries}],\n  "insecure-registries": [\n    "x.y",\n    {entries}]\n}}\n'
        found = with_text(found, DAEMON, text)
        problem = (
            f"{DAEMON} line 5 has {entries} in insecure-registries, so Docker checks no certificate of {what}"
        )
        remedy = "remove it, restart Docker there, and run again"
    else:
        arguments = [way + entry] if way.endswith("=") else [way, entry]
        daemons = {"7": ["/usr/sbin/dockerd", "--insecure-registry", "x.y", *arguments, "-H", "fd://"]}
        found = replace(found, daemons=daemons)
        problem = (
            f"dockerd (pid 7) runs with --insecure-registry {entry}, so it checks no certificate of {what}"
        )
        remedy = "remove it from its unit (systemctl cat docker), restart Docker there, and run again"
    found = replace(found, client=ClientHost(HostsFile(LOCALHOST)))
    if what:
        assert stop(found, **PORT) == (problem, remedy)
    else:
        assert texts(found, **PORT) == ["write /etc/hosts: our entry is missing"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{\n"debug": true,\n}', f"{DAEMON} line 3 is not JSON ("),
        ("[]", f"{DAEMON} line 1 is JSON, but not an object"),
    ],
)
def test_a_daemon_json_that_is_broken(text: str, problem: str) -> None:
    assert stop(with_text(converged(), DAEMON, text))[0].startswith(problem)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"insecure-registries": null}',
        '{"insecure-registries": "x", "a": ["0.0.0.0/0"]}',
        "\ufeff{}",
    ],
)
def test_a_daemon_json_that_is_no_conflict(text: str) -> None:
    assert texts(with_text(converged(), DAEMON, text)) == []


@pytest.mark.parametrize("argument", [["--config-file", "/srv/d.json"], ["--config-file=/srv/d.json"]])
def test_a_configuration_in_another_place_is_read_too(argument: list[str]) -> None:
    found = with_text(converged(), "/srv/d.json", '{"insecure-registries": ["registry.homelab.local"]}')
    assert texts(found) == []
    assert stop(replace(found, daemons={"7": ["dockerd", *argument]}))[0].startswith(
        "/srv/d.json line 1 has "
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("server = 'x'\n[host.'https://x']\n  skip_verify=true # why\n",
         " line 3 says 'skip_verify=true # why', so no certificate is checked there"),
        ("server = 'x'\nskip_verify = false\n",
         " exists, so Docker's containerd image store ignores the ca.crt beside it"),
        ("\n", " exists, so Docker's containerd image store ignores the ca.crt beside it"),
        ("", None),
    ],
)  # fmt: skip
def test_a_hosts_toml_beside_our_ca(text: str, problem: str | None) -> None:
    path = f"{FOLDER}/hosts.toml"
    assert path in docker_hosts.texts(Settings())
    found = with_text(converged(), path, text)
    if problem:
        assert stop(found) == (path + problem, f"move it away (mv {path} {path}.old) and run again")
    else:
        assert texts(found) == []


def test_a_folder_that_is_looked_up_first() -> None:
    path = f"{CERTS}/images.homelab.local_5443_"
    found = converged(**PORT)
    assert found.paths[path] is None
    assert stop(replace(found, paths={**found.paths, path: DIRECTORY}), **PORT) == (
        f"{path} exists, and Docker's containerd image store looks there before it looks for our ca.crt",
        f"move it away (mv {path} {path}.old) and run again",
    )


def test_a_loopback_address_is_a_conflict_even_if_the_file_is_not_managed() -> None:
    found = with_text(converged(), HOSTS, LOCALHOST + "127.0.1.1 registry.homelab.local\n")
    problem = (
        "/etc/hosts line 2 gives registry.homelab.local the loopback address 127.0.1.1, where Docker checks no "
        "certificate: '127.0.1.1 registry.homelab.local'"
    )
    assert stop(found)[0] == stop(found, registry_manage_hosts_file=False)[0] == problem
