"""The lines to paste: with what the inventory says of a host, and for hosts and users that have what they need."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pyinfra.context import ctx_state

from tasks.certificates import ca, rollover
from tasks.cli import next_steps
from tasks.clients.claims import Claim, Claims
from tasks.clients.questions import Question
from tasks.registry.context import RegistryContext
from tasks.remote.users import User
from tasks.run.context import Run
from tasks.run.machines import Machine, Rights
from tasks.settings.load import Configuration, HostSettings, Settings
from tasks.state.changes import Change
from tasks.state.store import State, Store
from tests.unit.state.test_changes import NOW

NAME = "registry.homelab.local"
SYSTEM = Question("Docker", NAME, NAME, 443, "/ca.crt", ("ask_docker", "unix:///x"))
ROOTLESS = Question(
    "Docker", NAME, NAME, 443, "/ca.crt", ("ask_docker",), user=User("me", 1000, 1000, "/home/me")
)


def lab(monkeypatch: pytest.MonkeyPatch, hosts: dict[str, Any], **settings: object) -> Run:
    """Return a run that saw these Docker hosts trust the registry, each with its rights, users, and questions.

    A user whose name begins with `!` is one whose login could not be written.
    """
    own = {
        name: HostSettings.model_validate(
            {"registry_login_users": {user.lstrip("!"): account for user, account in dict(users).items()}}
        )
        for name, (_, users, _) in hosts.items()
    }
    configuration = Configuration(Settings.model_validate(settings), own, "nas")
    run = Run(configuration, Store(Path.cwd() / "state/lab"), "inventories/lab.py", dry=False)
    claims = run.part(Claims)
    claims.first = True
    for name, (rights, users, questions) in hosts.items():
        run.machines[name] = Machine(cast("Rights", rights), 0.0, "debian", "running", client=True)
        logged_in = [f"{user} ({account})" for user, account in users if not user.startswith("!")]
        claims.make(
            name,
            Claim("docker_hosts", ["Docker"], [NAME], "PEM", "192.0.2.1", questions, True, logged_in),
        )
        claims.trusting[name, "docker_hosts"] = ["Docker"]
    inventory = SimpleNamespace(
        get_host=lambda name: SimpleNamespace(data=SimpleNamespace(dict=lambda: {"ssh_user": f"me-{name}"}))
    )
    monkeypatch.setattr(ctx_state, "get", lambda: SimpleNamespace(inventory=inventory))
    return run


def test_the_first_push_is_on_another_host_than_the_registrys_as_root(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = lab(monkeypatch, {"nas": ("root", [], [SYSTEM]), "builder": ("root", [], [SYSTEM])})
    assert next_steps.first_push(run) == [
        "",
        "Push your first image",
        f"  ssh me-builder@builder docker login -u ci --password-stdin {NAME} < state/lab/accounts/ci.password",
        f"  ssh me-builder@builder 'docker pull alpine && docker tag alpine {NAME}/alpine && docker push {NAME}/alpine'",
    ]


def test_a_user_who_becomes_root_by_sudo_uses_docker_so(monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab(monkeypatch, {"pi": ("sudo", [("me", None)], [SYSTEM])}, registry_port=5443)
    login, push = next_steps.first_push(run)[2:]
    assert f"sudo docker login -u ci --password-stdin {NAME}:5443 <" in login
    assert push.count("sudo docker ") == 3


def test_a_login_that_the_project_keeps_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab(monkeypatch, {"pi": ("root", [("root", "cluster")], [SYSTEM])})
    login, push = next_steps.first_push(run)[2:]
    assert "docker --config /root/.docker-ci login -u ci " in login
    assert f"docker --config /root/.docker-ci push {NAME}/alpine" in push
    run = lab(monkeypatch, {"pi": ("root", [("root", "cluster")], [SYSTEM]), "nas": ("root", [], [SYSTEM])})
    assert next_steps.first_push(run)[2].startswith("  ssh me-nas@nas docker login ")


def test_where_root_has_a_login_that_pushes_only_the_push_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts: dict[str, Any] = {
        "nas": ("root", [], [SYSTEM]),
        "builder": ("sudo", [("me", "admin"), ("root", "ci")], [SYSTEM]),
        "pi": ("root", [("root", "cluster")], [SYSTEM]),
    }
    assert next_steps.first_push(lab(monkeypatch, hosts))[2:] == [
        f"  ssh me-builder@builder 'sudo docker pull alpine && sudo docker tag alpine {NAME}/alpine && "
        f"sudo docker push {NAME}/alpine'",
    ]


def test_a_login_that_could_not_be_written_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab(monkeypatch, {"nas": ("root", [("!root", "ci")], [SYSTEM])})
    login, push = next_steps.first_push(run)[2:]
    assert "docker --config /root/.docker-ci login -u ci " in login
    assert f"docker --config /root/.docker-ci push {NAME}/alpine" in push


def test_on_the_controller_there_is_no_ssh(monkeypatch: pytest.MonkeyPatch) -> None:
    run = lab(
        monkeypatch,
        {"@local": ("root", [], [SYSTEM])},
        registry_accounts={"boss": "admin", "cluster": "pull"},
    )
    assert next_steps.first_push(run)[2:] == [
        f"  docker login -u boss --password-stdin {NAME} < state/lab/accounts/boss.password",
        f"  docker pull alpine && docker tag alpine {NAME}/alpine && docker push {NAME}/alpine",
    ]


@pytest.mark.parametrize(
    "hosts",
    [
        {},
        {"@docker/x": ("root", [], [SYSTEM])},  # what to type for it is not known
        {"pi": ("root", [], [ROOTLESS])},  # root is no user of that engine
    ],
)
def test_without_a_host_that_can_push_nothing_is_claimed(
    monkeypatch: pytest.MonkeyPatch, hosts: dict[str, Any]
) -> None:
    assert next_steps.first_push(lab(monkeypatch, hosts)) == []


def test_it_is_printed_once_and_only_if_somebody_may_push(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts: dict[str, Any] = {"pi": ("root", [], [SYSTEM])}
    assert next_steps.first_push(lab(monkeypatch, hosts, registry_accounts={"cluster": "pull"})) == []
    again = lab(monkeypatch, hosts)
    again.part(Claims).first = False
    assert next_steps.first_push(again) == []


@pytest.mark.parametrize(
    ("had_ca", "had_password", "backup"),
    [
        (False, False, "  Back up state/lab/ now: it holds the CA's key, and this run made a new one."),
        (True, False, "  Back up state/lab/ now: it holds the passwords, and this run made new ones."),
        (True, True, None),
    ],
)
@pytest.mark.parametrize("timer", [True, False])
def test_next(
    monkeypatch: pytest.MonkeyPatch, had_ca: bool, had_password: bool, backup: str | None, timer: bool
) -> None:
    monkeypatch.setattr(next_steps, "has_timer", lambda _: timer)
    run = lab(monkeypatch, {})
    registry, authority = run.part(RegistryContext), ca.make_authority([NAME], 3650, NOW)
    changes = (Change(1, NOW),)
    registry.authorities = rollover.stage_at(authority, None, 30, NOW)
    registry.present = State(authority=authority if had_ca else None, changes=changes if had_password else ())
    registry.decide(changes=changes)
    registry.before = registry.present
    registry.present = State(
        authority=authority, changes=changes
    )  # read again in this run, as a CA rollover does
    shown = ["", "Next", "  make verify INVENTORY=inventories/lab.py   proves it from every host"]
    shown += [] if timer else ["  make timer  INVENTORY=inventories/lab.py   keeps it so, every week"]
    assert next_steps.next_steps(run) == [*shown, *([backup] if backup else [])]
