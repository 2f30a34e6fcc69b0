"""Which engines of a Docker host are asked, and where a proxy of theirs is set."""

from __future__ import annotations

import json

import pytest

from tasks.clients.proxies import ProxySettings
from tasks.docker_hosts import questions
from tasks.docker_hosts.engines import ROOTLESS, SNAP, SYSTEM, DockerHost, Engine
from tasks.remote.users import User
from tasks.settings.load import Settings

NAME = "registry.homelab.local"
DROP_IN = "/etc/systemd/system/docker.service.d/http-proxy.conf"
SET = {"HTTPS_PROXY": "set"}
CI = User("ci", 1000, 1000, "/home/ci")
ROOTLESS_ENGINE = Engine(f"/home/ci/{ROOTLESS[0]}", f"/home/ci/{ROOTLESS[1]}", CI)


def host(*arguments: str, config: object = None, **more: object) -> DockerHost:
    """A host with the system's engine, which runs with these arguments."""
    texts = {} if config is None else {SYSTEM[1]: json.dumps(config)}
    return DockerHost({}, texts, daemons={"7": ["dockerd", *arguments]}, **more)  # type: ignore[arg-type]


def proxy(found: DockerHost) -> str | None:
    (asked,) = questions.of(Settings(), NAME, found)
    return asked.proxy


def test_each_engine_that_runs_is_asked() -> None:
    engines = [Engine(*SYSTEM), Engine(*SNAP), ROOTLESS_ENGINE]
    settings = Settings(registry_port=5443)
    found = questions.of(settings, NAME, host(engines=engines))
    assert [(each.words[1], each.ca, each.user) for each in found] == [
        ("unix:///var/run/docker.sock", f"/etc/docker/certs.d/{NAME}:5443/ca.crt", None),
        ("unix:///run/user/1000/docker.sock", f"/home/ci/.config/docker/certs.d/{NAME}:5443/ca.crt", CI),
    ]
    assert {each.endpoint for each in found} == {f"{NAME}:5443"}


def test_an_engine_of_root_that_does_not_run_is_not_woken() -> None:
    off = DockerHost({}, engines=[Engine(*SYSTEM), ROOTLESS_ENGINE])
    assert [each.user for each in questions.of(Settings(), NAME, off)] == [CI]


@pytest.mark.parametrize(
    ("found", "where"),
    [
        (host(), None),
        (host(proxies={"7": ProxySettings(SET, DROP_IN)}), DROP_IN),
        (host(proxies={"7": ProxySettings(SET)}), "its environment"),
        (host(proxies={"7": ProxySettings({**SET, "NO_PROXY": "10.0.0.0/8"}, DROP_IN)}), DROP_IN),
        (host(proxies={"7": ProxySettings({**SET, "NO_PROXY": ".homelab.local"}, DROP_IN)}), None),
        (host(config={"proxies": {"https-proxy": "http://p"}}), SYSTEM[1]),
        (host(config={"proxies": {"http-proxy": "http://p"}}), None),
        (host(config={"proxies": {"https-proxy": "http://p", "no-proxy": NAME}}), None),
        (host(config={"proxies": {"no-proxy": NAME}}, proxies={"7": ProxySettings(SET, DROP_IN)}), None),
        (host(config={"proxies": "odd"}), None),
        (host("--https-proxy", "http://p"), "the arguments of dockerd (pid 7)"),
        (host("--https-proxy=http://p", f"--no-proxy={NAME}"), None),
    ],
)
def test_where_a_proxy_is_set_that_would_be_asked(found: DockerHost, where: str | None) -> None:
    assert proxy(found) == where
