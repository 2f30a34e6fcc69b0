"""Password rotation on several hosts: reachable hosts get the new login, the others keep a valid one."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator

import pytest

from tests.bench import registry_images
from tests.bench.fleet import Fleet
from tests.bench.recipes import BOOKWORM_DOCKER
from tests.fleet.deployment import Deployment, RunResult
from tests.fleet.test_changes import request_status
from tests.gateway.gateway import NAME

ROTATE = "deploys/rotate_credentials.py"
USER = "alice"
PASSWORDS = "test_the_registry_knows_the_passwords_of_the_state"
ACCOUNTS = ("admin", "ci", "cluster")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet.start(dict.fromkeys(("nas", "pi"), BOOKWORM_DOCKER), tmp_path_factory.mktemp("fleet"))
    try:
        registry_images.load(fleet.hosts["nas"])
        for host in fleet.hosts.values():
            host.run(f"useradd -m -G docker {USER}")
        # As if it were switched off: nothing listens on that port.
        fleet.data["off"] = fleet.data["pi"] | {"ssh_port": 9}
        yield fleet
    finally:
        fleet.remove()


@pytest.fixture(scope="module")
def deployment(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    deployment = Deployment(tmp_path_factory.mktemp("deployment"), inventory_with(fleet, "pi"))
    deployment.set(registry_state_dir=str(deployment.store.folder), registry_login_users=[USER])
    ran = deployment.run()
    assert ran.exit_code == 0, ran.output
    return deployment


def inventory_with(fleet: Fleet, client: str) -> str:
    return fleet.inventory({"registry": ["nas"], "docker_hosts": ["nas", client]})


def run(
    fleet: Fleet,
    deployment: Deployment,
    deploy: str,
    client: str = "pi",
    *arguments: str,
    kill_after: int = 0,
) -> RunResult:
    """Run with one client in the inventory; the client `off` cannot be reached."""
    deployment.inventory.write_text(inventory_with(fleet, client))
    return deployment.run("-y", *arguments, deploy=deploy, kill_after=kill_after)


def stored_login(fleet: Fleet, host: str) -> str:
    """Return the login in the Docker configuration of the host's user."""
    config = json.loads(fleet.hosts[host].read(f"/home/{USER}/.docker/config.json"))
    return str(config["auths"][NAME]["auth"])


def login_status(fleet: Fleet, deployment: Deployment, login: str) -> str:
    """Return the registry's status for a request with this login."""
    account, _, password = b64decode(login).decode().partition(":")
    return request_status(fleet.hosts["nas"], deployment, account, password)


def test_every_login_is_updated_and_then_former_passwords_are_refused(
    fleet: Fleet, deployment: Deployment
) -> None:
    before, former = deployment.store.read(), {host: stored_login(fleet, host) for host in fleet.hosts}
    ran = run(fleet, deployment, ROTATE)
    assert ran.exit_code == 0, ran.output
    after = deployment.store.read()
    for account in ACCOUNTS:
        assert after.passwords[account] != before.passwords[account]
    assert after.former == {}
    for host in fleet.hosts:
        assert login_status(fleet, deployment, stored_login(fleet, host)) == "200"
        assert login_status(fleet, deployment, former[host]) == "401"
    assert run(fleet, deployment, "deploy.py").steps == []


def test_a_plan_lists_the_steps_of_the_run(fleet: Fleet, deployment: Deployment) -> None:
    deployment.inventory.write_text(inventory_with(fleet, "pi"))
    planned = deployment.run("--dry", deploy=ROTATE)
    assert deployment.run(deploy=ROTATE).steps == planned.steps
    assert (
        "write /etc/homelab-registry/registry/htpasswd: former passwords are refused from now on"
        in planned.steps
    )


def test_an_offline_host_keeps_its_login_and_is_updated_later(fleet: Fleet, deployment: Deployment) -> None:
    login, admin = stored_login(fleet, "pi"), deployment.store.read().passwords["admin"]
    ran = run(fleet, deployment, ROTATE, "off")
    assert ran.exit_code == 1
    assert (
        "the former password of cluster is still accepted: off may still need it; fix that and run again"
        in ran.output
    )
    assert stored_login(fleet, "pi") == login
    assert [
        login_status(fleet, deployment, login),
        login_status(fleet, deployment, stored_login(fleet, "nas")),
    ] == ["200", "200"]
    # No host uses the admin's password, so its rotation waits for none.
    assert set(deployment.store.read().former) == {"cluster"}
    assert deployment.store.read().passwords["admin"] != admin
    verified = deployment.verify("-k", PASSWORDS)
    assert verified.returncode == 0, verified.stdout
    assert "the former password of cluster, changed on 20" in verified.stdout
    fleet.hosts["nas"].run("rm /etc/homelab-registry/gateway/two-passwords")
    failed = deployment.verify("-k", PASSWORDS)
    assert failed.returncode == 1
    assert "two-passwords is missing, and 1 accounts have a former password; run make deploy" in failed.stdout
    again = run(fleet, deployment, ROTATE, "off", "--data", "registry_rotate_account=cluster")
    assert "no further one is made, and this run moves clients to the present one" in again.output
    settings = {"registry_state_dir": str(deployment.store.folder), "registry_login_users": [USER]}
    # The offline host still has the login of the old account.
    deployment.set(**settings, registry_login_account="ci")
    moved = run(fleet, deployment, "deploy.py", "off")
    assert "the former password of cluster is still accepted: off may still need it" in moved.output
    deployment.set(**settings)
    assert login_status(fleet, deployment, login) == "200"
    assert run(fleet, deployment, "deploy.py").exit_code == 0
    assert deployment.store.read().former == {}
    assert [
        login_status(fleet, deployment, login),
        login_status(fleet, deployment, stored_login(fleet, "pi")),
    ] == ["401", "200"]
    assert run(fleet, deployment, "deploy.py").steps == []


@pytest.mark.parametrize("clock", ["+10m", "-10m"])
def test_clocks_ten_minutes_apart_do_no_harm(fleet: Fleet, deployment: Deployment, clock: str) -> None:
    logins = [stored_login(fleet, host) for host in fleet.hosts]
    ran = deployment.run(deploy=ROTATE, clock=clock)
    assert ran.exit_code == 0, ran.output
    assert deployment.store.read().former == {}
    for host, login in zip(fleet.hosts, logins, strict=True):
        assert [
            login_status(fleet, deployment, login),
            login_status(fleet, deployment, stored_login(fleet, host)),
        ] == ["401", "200"]


def test_a_new_certificate_does_not_affect_an_offline_host(fleet: Fleet, deployment: Deployment) -> None:
    ran = run(fleet, deployment, "deploys/rotate_certificate.py", "off")
    assert ran.exit_code == 1
    assert len(ran.problems) == 1
    assert ran.problems[0].startswith("[off] ")
    pulled = fleet.hosts["pi"].run(f"su {USER} -c 'docker pull -q {NAME}/no-such-image'", check=False)
    assert "not found" in pulled.stderr
    assert run(fleet, deployment, "deploy.py").steps == []


def test_a_permanently_missing_host_can_be_excused_by_name(fleet: Fleet, deployment: Deployment) -> None:
    login = stored_login(fleet, "pi")
    ran = run(fleet, deployment, ROTATE, "off", "--data", "registry_excused_hosts=off")
    assert "still accepted" not in ran.output
    assert deployment.store.read().former == {}
    assert login_status(fleet, deployment, login) == "401"
    assert run(fleet, deployment, "deploy.py").exit_code == 0
    assert login_status(fleet, deployment, stored_login(fleet, "pi")) == "200"


def test_a_stolen_host_is_refused(fleet: Fleet, deployment: Deployment) -> None:
    """As in docs/lost-or-stolen.md: the host is removed from the inventory first."""
    stolen, account = stored_login(fleet, "pi"), ("--data", "registry_rotate_account=cluster")
    deployment.inventory.write_text(fleet.inventory({"registry": ["nas"], "docker_hosts": ["nas"]}))
    for deploy in (ROTATE, "deploys/revoke_credentials.py"):
        ran = deployment.run("-y", *account, deploy=deploy)
        assert ran.exit_code == 0, ran.output
    assert [
        login_status(fleet, deployment, stolen),
        login_status(fleet, deployment, stored_login(fleet, "nas")),
    ] == ["401", "200"]
    assert run(fleet, deployment, "deploy.py").exit_code == 0
    assert login_status(fleet, deployment, stored_login(fleet, "pi")) == "200"


def test_a_limited_run_keeps_the_former_password_valid(fleet: Fleet, deployment: Deployment) -> None:
    login = stored_login(fleet, "pi")
    ran = run(fleet, deployment, ROTATE, "pi", "--limit", "nas")
    assert ran.exit_code == 0, ran.output
    assert "the former password of cluster is still accepted: pi may still need it" in ran.output
    assert login_status(fleet, deployment, login) == "200"
    assert run(fleet, deployment, "deploy.py").exit_code == 0
    assert login_status(fleet, deployment, login) == "401"


def test_a_password_changed_by_hand_is_rotated_the_same_way(fleet: Fleet, deployment: Deployment) -> None:
    login = stored_login(fleet, "pi")
    deployment.store.password_path("cluster").write_text("correct horse battery\n")
    ran = run(fleet, deployment, "deploy.py", "off")
    assert ran.exit_code == 1
    assert [
        login_status(fleet, deployment, login),
        login_status(fleet, deployment, stored_login(fleet, "nas")),
    ] == ["200", "200"]
    assert run(fleet, deployment, "deploy.py").exit_code == 0
    assert stored_login(fleet, "pi") == stored_login(fleet, "nas")
    assert [
        login_status(fleet, deployment, login),
        login_status(fleet, deployment, stored_login(fleet, "pi")),
    ] == ["401", "200"]


def test_a_killed_rotation_locks_nobody_out(
    fleet: Fleet, deployment: Deployment, soak: bool, part: slice
) -> None:
    """Each rotation begins from a finished state, so that all of them have the same commands."""
    whole = run(fleet, deployment, ROTATE)
    assert whole.exit_code == 0, whole.output
    count = len(whole.commands)
    points = list(range(1, count)) if soak else [count // 2, count - 3]
    for point in points[part]:
        logins = [stored_login(fleet, host) for host in fleet.hosts]
        killed = run(fleet, deployment, ROTATE, kill_after=point)
        assert killed.exit_code == -9, f"killed after {point}: {killed.output}"
        for host in fleet.hosts:
            assert login_status(fleet, deployment, stored_login(fleet, host)) == "200", (
                f"{host} after {point}"
            )
        finished = run(fleet, deployment, "deploy.py" if point % 2 else ROTATE)
        assert finished.exit_code == 0, f"killed after {point}: {finished.output}"
        assert deployment.store.read().former == {}
        for host in fleet.hosts:
            assert login_status(fleet, deployment, stored_login(fleet, host)) == "200", (
                f"{host} after {point}"
            )
        if logins[0] != stored_login(fleet, "nas"):
            assert login_status(fleet, deployment, logins[0]) == "401"
        assert run(fleet, deployment, "deploy.py").steps == []
        print(f"killed after {point} of {count} and finished")


def test_verification_passes_afterwards(deployment: Deployment) -> None:
    """What depends on passwords. tests/chain verifies everything after a rotation of each kind."""
    verified = deployment.verify("-k", f"{PASSWORDS} or is_let_in or login or logging_in or as_deployed")
    assert verified.returncode == 0, verified.stdout
