"""What is said of a client, and when it is asked again."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pyinfra.api.host import Host

from tasks.clients import operations
from tasks.clients.answers import Meaning, Verdict
from tasks.clients.claims import Claim, Claims
from tasks.clients.mirrors import Mirror
from tasks.clients.questions import Question, of_mirror
from tasks.registry.context import RegistryContext
from tasks.remote.users import User
from tasks.run import apply
from tasks.run import context as runs
from tasks.run.context import Run
from tasks.settings.caches import Upstream
from tasks.settings.load import Configuration, HostSettings, Settings
from tasks.state.store import Store

NAME = "registry.homelab.local"
TITLES = ("K3s", "containerd", "Podman")
MIRROR = "mirror.homelab.local"
CACHES = Mirror(
    MIRROR, [Upstream(name=name, registry=f"https://{name}") for name in ("docker.io", "ghcr.io")]
)


def question(title: str, **more: Any) -> Question:
    return Question(title, NAME, NAME, 443, "/ca.crt", ("ask_cri", "unix:///x"), **more)


def claim(
    *titles: str, asked: tuple[str, ...] | None = None, changed: bool = True, users: tuple[str, ...] = ()
) -> Claim:
    questions = [question(title) for title in (titles if asked is None else asked)]
    return Claim(
        "cluster_nodes", titles, [NAME], "PEM", "192.168.1.10", questions, changed=changed, logged_in=users
    )


@pytest.mark.parametrize(
    ("seen", "lines"),
    [
        (TITLES, [f"K3s, containerd and Podman trust {NAME}; logged in: x"]),
        (
            ["Podman", "K3s"],
            [f"K3s and Podman trust {NAME}", f"containerd has the CA of {NAME}; logged in: x"],
        ),
        (["K3s"], [f"K3s trusts {NAME}", f"containerd and Podman have the CA of {NAME}; logged in: x"]),
        ([], [f"K3s, containerd and Podman have the CA of {NAME}; logged in: x"]),
    ],
)
def test_trust_is_said_of_those_alone_that_were_seen(seen: list[str], lines: list[str]) -> None:
    assert claim(*TITLES, users=("x",)).lines(seen) == lines


def _all_trust() -> dict[str, Meaning]:
    return dict.fromkeys((*TITLES, MIRROR), "trusts")


def with_mirror(made: Claim, proxy: str | None = None) -> Claim:
    asked = [of_mirror(each, MIRROR, MIRROR, 443, "/ca.crt", proxy, "restart it") for each in made.titles]
    return replace(made, mirror=CACHES, questions=[*made.questions, *asked])


class Client:
    """A host whose runtimes answer as they are told; it counts the round trips."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store, self.asked, self.meanings = (
            Store(folder),
            0,
            _all_trust(),
        )
        state = SimpleNamespace(is_executing=True, failed_hosts=set())
        self.host = cast("Host", SimpleNamespace(name="pi", state=state, log_styled=lambda *_, **__: None))
        monkeypatch.setattr(operations, "get_fact", self.answer)
        monkeypatch.setattr(apply, "current", runs.current)
        self.monkeypatch = monkeypatch

    def answer(self, *_: Any, kwargs: dict[str, Any], **__: Any) -> list[Verdict]:
        self.asked += 1
        return [
            Verdict(self.meanings[MIRROR if each.endpoint == MIRROR else each.title], "its words")
            for each in kwargs["questions"]
        ]

    def run(self, *claims: Claim) -> tuple[Run, bool]:
        run = Run(Configuration(Settings(), {"pi": HostSettings()}, "nas"), self.store, "lab", dry=False)
        self.monkeypatch.setattr(runs, "_current", [run])
        run.part(RegistryContext).address = "192.168.1.10"
        for each in claims:
            run.part(Claims).make("pi", each)
        return run, operations.finish(run, self.host)


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    return Client(tmp_path, monkeypatch)


def test_a_client_is_asked_when_it_changed_and_not_again(client: Client) -> None:
    made = claim("containerd", "Podman")
    for changed, asked in ((True, 1), (False, 1), (True, 2), (False, 2)):
        run, good = client.run(replace(made, changed=changed))
        assert good
        assert client.asked == asked
        assert run.finished == {("pi", "cluster_nodes")}
        assert run.report.done == {"pi": [f"containerd and Podman trust {NAME}"]}
        assert run.part(Claims).seen == {"pi"}
        assert run.part(Claims).first is (asked == 1 and changed)


@pytest.mark.parametrize(
    "other",
    [
        {"ca_pem": "ANOTHER"}, {"address": "192.168.1.11"}, {"titles": ["containerd", "K3s"]},
        {"questions": [question("containerd", proxy="/etc/default/docker")]},
    ],
)  # fmt: skip
def test_a_client_without_steps_is_asked_again_if_what_matters_is_another(client: Client, other: Any) -> None:
    """As after a run that was killed before it asked, or a proxy that its user has set since."""
    made = claim("containerd")
    client.run(made)
    client.run(replace(made, changed=False, **other))
    assert client.asked == 2


def test_a_client_that_nobody_can_ask_has_the_ca(client: Client) -> None:
    client.meanings["K3s"] = "not asked"
    for changed in (True, False):
        run, good = client.run(claim("K3s", changed=changed), claim("K3s", changed=changed))
        assert good
        assert run.report.done == {"pi": [f"K3s has the CA of {NAME}"]}
        assert run.part(Claims).seen == set()
    assert client.asked == 1
    client.run(claim("Podman", asked=(), changed=True))
    assert client.asked == 1  # there was no question


@pytest.mark.parametrize("meaning", ["distrusts", "unreached"])
def test_a_client_without_trust_is_not_finished_and_is_asked_until_it_is(
    client: Client, meaning: Any
) -> None:
    """So no rotation retires a CA or a password while it waits for that host."""
    client.run(claim(*TITLES))
    client.asked = 0
    client.meanings["containerd"] = client.meanings["Podman"] = meaning
    for asked in (1, 2):
        run, good = client.run(claim(*TITLES, changed=asked == 1))
        assert not good
        assert (run.finished, run.report.done, client.asked) == (set(), {}, asked)
        ((problem, _),) = run.report.problems["pi"]
        assert problem.startswith("containerd and Podman do not ")
        assert problem.endswith(f"{NAME}: its words")
    client.meanings["containerd"] = client.meanings["Podman"] = "trusts"
    run, good = client.run(claim(*TITLES, changed=False))
    assert good
    assert client.asked == 3
    assert run.finished


def test_a_proxy_is_quoted_with_the_entry_to_add(client: Client) -> None:
    client.meanings["K3s"] = "unreached"
    path = "/etc/systemd/system/k3s.service.env"
    asked = question("K3s", proxy=path, restart="restart it (systemctl restart k3s.service)")
    run, _ = client.run(replace(claim("K3s"), questions=[asked]))
    assert run.report.problems["pi"] == [
        (
            f"K3s asks a proxy for {NAME} (HTTPS_PROXY in {path}), and got: its words",
            f"add {NAME} to NO_PROXY there, restart it (systemctl restart k3s.service), and run again",
        )
    ]


def test_a_proxy_that_lets_pulls_through_is_no_problem(client: Client) -> None:
    run, good = client.run(replace(claim("K3s"), questions=[question("K3s", proxy="/etc/environment")]))
    assert good
    assert run.report.done == {"pi": [f"K3s trusts {NAME}"]}


def test_an_answer_that_is_not_understood_is_noted_and_asked_for_again(client: Client) -> None:
    client.meanings["containerd"] = "unclear"
    for asked in (1, 2):
        run, good = client.run(claim("containerd", "Podman", changed=False))
        assert good
        assert run.finished
        assert client.asked == asked
        assert run.report.done["pi"] == [f"Podman trusts {NAME}", f"containerd has the CA of {NAME}"]
        (note,) = run.report.notes["pi"]
        assert note == f"containerd was asked for {NAME}, and its answer is not understood: its words"


def test_a_host_that_left_the_inventory_is_forgotten(client: Client) -> None:
    client.store.write_seen({"gone docker_hosts": ("1", ["Docker"]), "pi docker_hosts": ("2", [])})
    client.run(claim("Podman"))
    assert set(client.store.read_seen()) == {"pi docker_hosts", "pi cluster_nodes"}


@pytest.mark.parametrize("text", ["", "[]", "{", '{"pi docker_hosts": 1}', '{"x": {"asked": "1"}}', "\udcff"])
def test_what_was_seen_is_asked_again_if_it_cannot_be_read(client: Client, text: str) -> None:
    client.run(claim("Podman"))
    (client.store.folder / "seen.json").write_bytes(text.encode(errors="surrogateescape"))
    _, good = client.run(claim("Podman", changed=False))
    assert good
    assert client.asked == 2


def test_a_host_that_changed_in_one_role_is_asked_in_all(client: Client) -> None:
    """Else it would be said to reach the registry for what was seen before."""
    docker = replace(claim("Podman"), group="docker_hosts")
    client.run(docker, claim("K3s"))
    client.meanings["Podman"] = client.meanings["K3s"] = "unreached"
    run, good = client.run(docker, claim("K3s", changed=False))
    assert (good, client.asked, run.part(Claims).seen, run.finished) == (False, 2, set(), set())


@pytest.mark.parametrize("meaning", ["distrusts", "unreached"])
def test_an_engine_of_a_user_s_keeps_neither_its_host_nor_a_rotation_waiting(
    client: Client, meaning: Meaning
) -> None:
    """It could answer anything. It is named, nothing is claimed of it, and it is asked again."""
    theirs = question("Docker", user=User("ci", 1000, 1000, "/home/ci"))
    made = replace(claim("Docker"), questions=[theirs])
    client.meanings["Docker"] = meaning
    for asked in (1, 2):
        run, good = client.run(replace(made, changed=asked == 1))
        assert (good, client.asked, run.finished) == (True, asked, {("pi", "cluster_nodes")})
        assert run.report.done == {"pi": [f"Docker has the CA of {NAME}"]}
        assert len(run.report.problems["pi"]) == 1


def test_the_caches_are_said_to_answer_if_they_were_asked_and_did(client: Client) -> None:
    made = with_mirror(claim("K3s", "Podman", users=("ci",)))
    for changed in (True, False):
        run, good = client.run(replace(made, changed=changed))
        assert good
        trust = f"K3s and Podman trust {NAME}; logged in: ci"
        assert run.report.done["pi"] == [trust, f"the caches of docker.io and ghcr.io answer at {MIRROR}"]
        assert client.asked == 1


def test_caches_that_say_no_keep_no_host_waiting_and_are_asked_again(client: Client) -> None:
    client.meanings[MIRROR] = "unclear"
    for asked in (1, 2):
        run, good = client.run(with_mirror(claim("K3s", changed=False)))
        assert good
        assert run.report.done["pi"] == [f"K3s trusts {NAME}"]
        note = f"the caches do not answer at {MIRROR}, so K3s pulls from the internet: its words"
        assert run.report.notes["pi"] == [note]
        assert client.asked == asked


@pytest.mark.parametrize("meaning", ["distrusts", "unreached"])
def test_caches_that_a_runtime_does_not_reach_are_a_problem_of_their_own(
    client: Client, meaning: Any
) -> None:
    client.meanings[MIRROR] = meaning
    run, good = client.run(with_mirror(claim("K3s")))
    assert not good
    ((problem, _),) = run.report.problems["pi"]
    assert re.fullmatch(f"K3s does not (trust|reach) {MIRROR}: its words", problem)


def test_a_proxy_before_the_caches_is_quoted(client: Client) -> None:
    client.meanings[MIRROR] = "unreached"
    run, _ = client.run(with_mirror(claim("K3s"), proxy="/etc/environment"))
    assert run.report.problems["pi"] == [
        (
            f"K3s asks a proxy for {MIRROR} (HTTPS_PROXY in /etc/environment), and got: its words",
            f"add {MIRROR} to NO_PROXY there, restart it, and run again",
        )
    ]
