"""The verification's pods: each has an outcome. kubectl is a stub that lists the pods that a test expects."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.verify import pods
from tests.verify.pods import Kubectl, Pods

WANTED = [("apps", "k3s-1", "r.example/x:1"), ("apps", "k3s-2", "r.example/x:1")]


class FakeKubectl:
    """A stub that lists the created pods as running, except for those with the `removed` numbers."""

    def __init__(self, *removed: int) -> None:
        self.host = SimpleNamespace(name="control")
        self.made: list[Any] = []
        self.removed = removed

    def give(self, objects: list[Any], *arguments: str) -> Any:
        self.made += objects
        return SimpleNamespace(rc=0)

    def read(self, *arguments: str) -> Any:
        status = {"containerStatuses": [{"image": "r.example/x:1", "state": {"running": {}}}]}
        left = [each for number, each in enumerate(self.made) if number not in self.removed]
        return {"items": [each | {"status": status} for each in left]}


def outcomes(kubectl: FakeKubectl) -> list[pods.Outcome]:
    made = Pods(cast(Kubectl, kubectl))
    made.start(WANTED, None)
    return made.outcomes()


def test_there_is_one_outcome_for_each_pod() -> None:
    assert [(each.node, each.reason) for each in outcomes(FakeKubectl())] == [
        ("k3s-1", "Running"),
        ("k3s-2", "Running"),
    ]


@pytest.mark.parametrize(
    ("removed", "message"), [([1], r"-1 in apps was removed while"), ([0, 1], r"-0 in apps \(and 1 more of 2\) was removed")]
)  # fmt: skip
def test_a_removed_pod_is_named(removed: list[int], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pods, "SECONDS", 0)
    with pytest.raises(AssertionError, match=rf"control: pod homelab-verify-\w+{message}"):
        outcomes(FakeKubectl(*removed))


def test_pods_tolerate_every_taint() -> None:
    kubectl = FakeKubectl()
    outcomes(kubectl)
    assert [each["spec"]["tolerations"] for each in kubectl.made] == [[{"operator": "Exists"}]] * 2


def test_pods_have_the_memory_that_runc_starts_with() -> None:
    """23 MB were too much for a limit of 20 MiB in runc#3986."""
    kubectl = FakeKubectl()
    outcomes(kubectl)
    limits = [each["spec"]["containers"][0]["resources"]["limits"]["memory"] for each in kubectl.made]
    assert [int(limit.removesuffix("Mi")) >= 32 for limit in limits] == [True, True]
