"""Each Docker host: it checks the registry's certificate, and can log in, push and pull."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tasks.certificates import ca
from tasks.certificates.rollover import Authorities
from tasks.remote.users import User
from tasks.settings.load import Settings
from tests.verify import images
from tests.verify.backend import Host, last_line
from tests.verify.client import Client
from tests.verify.deployed import Deployed, check_nothing_to_do
from tests.verify.deployment import Deployment, Login
from tests.verify.engine import UNTRUSTED, Engine, login_refused
from tests.verify.test_space import check_space


@pytest.fixture
def engine(docker_host: Host) -> Iterator[Engine]:
    _leave_alone_if_off(docker_host)
    version = docker_host.run("docker version")
    assert version.rc == 0, (
        f"{docker_host.name}: no Docker Engine answers ({last_line(version)}); start it (systemctl start docker)"
    )
    made = Engine(docker_host)
    yield made
    made.close()


def test_it_is_as_deployed(docker_host: Host, deployed: Deployed) -> None:
    check_nothing_to_do(docker_host, deployed.docker_host(docker_host))


def test_the_registry_is_not_insecure(engine: Engine, settings: Settings, address: str) -> None:
    config = json.loads(
        engine.run_checked("fix that and run again", "info", "--format", "{{json .RegistryConfig}}")
    )
    remedy = "remove it from insecure-registries in /etc/docker/daemon.json there and restart Docker"
    for name in settings.endpoints:
        index = config["IndexConfigs"].get(name) or {"Secure": True}
        assert index["Secure"], f"{engine.host.name}: Docker treats {name} as an insecure registry; {remedy}"
    networks = [ipaddress.ip_network(text) for text in config["InsecureRegistryCIDRs"] or []]
    around = [str(network) for network in networks if ipaddress.ip_address(address) in network]
    assert not around, f"{engine.host.name}: Docker treats all of {around} as insecure registries; {remedy}"


def test_login_by_every_name(
    engine: Engine,
    settings: Settings,
    deployment: Deployment,
    names_to_come: list[str],
    remedy: Callable[[Any], str],
) -> None:
    for name in _served(settings, names_to_come):
        done = engine.login(name, deployment.login("pull", "push", "admin"))
        assert done.rc == 0, (
            f"{engine.host.name}: docker login to {name} fails ({last_line(done)}); {remedy(done)}"
        )


def test_push_and_pull(engine: Engine, settings: Settings, deployment: Deployment, repository: str) -> None:
    reference = f"{settings.endpoint}/{repository}:v1.0.0"
    engine.make_image(reference)
    identity = ("image", "inspect", "--format", "{{.Id}}", reference)
    made = engine.run_checked("fix that and run again", *identity)
    for login, command in (
        (deployment.login("push", "admin"), "push"),
        (deployment.login("pull", "push", "admin"), "pull"),
    ):
        done = engine.login(settings.endpoint, login)
        assert done.rc == 0, f"{engine.host.name}: docker login fails ({last_line(done)}); run make deploy"
        engine.run_checked(f"the account is {login.name}; run make deploy", command, reference)
        if command == "push":
            engine.run_checked("fix that and run again", "image", "rm", reference)
            assert engine.docker(*identity).rc != 0, (
                f"{engine.host.name}: the image {reference} could not be removed; remove it by hand"
            )
    pulled = engine.run_checked("run make deploy", *identity)
    assert pulled == made, (
        f"{engine.host.name}: the image that was pulled is {pulled}, the one that was pushed {made}; "
        "check the registry's disk"
    )


def test_nobody_else_pulls_or_logs_in(
    engine: Engine, settings: Settings, deployment: Deployment, repository: str
) -> None:
    right = deployment.login("pull", "push", "admin")
    refused = {
        "docker login with a wrong password": engine.login(
            settings.endpoint, Login(right.name, secrets.token_urlsafe(32))
        ),
        "docker pull without a login": engine.pull(f"{settings.endpoint}/{repository}:v1.0.0"),
    }
    for what, done in refused.items():
        assert done.rc != 0, (
            f"{engine.host.name}: {what} succeeds; run make deploy, and if that does not help, disconnect the "
            "registry from the network: it is open"
        )
        assert login_refused(done), (
            f"{engine.host.name}: {what} is refused for another reason ({last_line(done)}); run make deploy"
        )


@pytest.mark.parametrize("trusted", ["no CA", "another CA"])
def test_a_certificate_is_checked(
    engine: Engine,
    settings: Settings,
    authorities: Authorities,
    unmanaged: str,
    repository: str,
    trusted: str,
) -> None:
    """Docker refuses the registry for its certificate: with our CA in the same place it gets further."""
    if trusted != "no CA":
        other = ca.make_authority(settings.server_names, 2, dt.datetime.now(dt.UTC))
        engine.trust(unmanaged, other.certificate_pem)
    reference = f"{unmanaged}/{repository}:v1.0.0"
    done = engine.pull(reference)
    assert done.rc != 0 and UNTRUSTED in done.stderr, (  # noqa: PT018 - one claim
        f"{engine.host.name}: with {trusted} Docker does not reject the registry's certificate ({last_line(done)}); look for "
        "insecure-registries in /etc/docker/daemon.json there, and for our CA in the system's trust store"
    )
    engine.trust(unmanaged, authorities.ca_bundle)
    done = engine.pull(reference)
    assert "x509" not in done.stderr, (
        f"{engine.host.name}: Docker rejects the registry's certificate with our CA as well ({last_line(done)}); "
        "run make deploy"
    )


def test_users_pull_without_logging_in(
    login_host: Host,
    deployment: Deployment,
    settings: Settings,
    client: Client,
    repository: str,
) -> None:
    _leave_alone_if_off(login_host)
    reference = images.push(client, settings, deployment.login("push", "admin"), repository, login_host)
    for name, account in deployment.of(login_host.name).login_accounts(settings).items():
        user = _user(login_host, name)
        pulled = login_host.run(user.run(f"docker pull -q {reference}"))
        pushes = pulled.rc == 0 and settings.registry_accounts[account] != "pull"
        pushed = login_host.run(user.run(f"docker push {reference}")) if pushes else None
        removed = login_host.run(user.run(f"docker image rm -f {reference}"))
        assert "permission denied" not in pulled.stderr, (
            f"{login_host.name}: {name} may not use Docker Engine there; add them to the group docker (usermod -aG "
            f"docker {name}), or remove them from registry_login_users"
        )
        assert pulled.rc == 0, (
            f"{login_host.name}: {name} cannot pull without logging in ({last_line(pulled)}); run make deploy"
        )
        assert pushed is None or pushed.rc == 0, (
            f"{login_host.name}: {name} cannot push without logging in, which the account {account} may "
            f"({last_line(pushed)}); run make deploy"
        )
        assert removed.rc == 0, f"{login_host.name}: {reference} could not be removed; remove it by hand"


def _leave_alone_if_off(host: Host) -> None:
    """Ask nothing of an engine that a person switched off: its socket would start it. The end says that of the host."""
    if host.machine.engine == "off":
        pytest.skip(f"{host.name}: Docker Engine is off on purpose ({host.machine.why_off})")


def _served(settings: Settings, names_to_come: list[str]) -> list[str]:
    named = zip(settings.server_names, settings.endpoints, strict=True)
    return [place for name, place in named if name not in names_to_come]


def _user(host: Host, name: str) -> User:
    entry = host.output("getent passwd -- %s", name)
    _, _, uid, gid, _, home, _ = entry.strip().split(":")
    return User(name, int(uid), int(gid), home)


def test_there_is_room_for_images(engine: Engine) -> None:
    folder = engine.run_checked("fix that and run again", "info", "--format", "{{.DockerRootDir}}")
    check_space(
        engine.host, folder, "remove unused images there (docker image prune), or give it a larger disk"
    )
