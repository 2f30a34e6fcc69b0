"""A cluster: what is put into which namespaces, whose is left alone, what is taken back, and how it is told."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tasks.accounts.logins import Login
from tasks.cluster_control import plan as cluster_control
from tasks.cluster_control import pull_secrets
from tasks.cluster_control.plan import Cluster, ClusterTarget, Plan
from tasks.cluster_control.pull_secrets import Content, ExistingObject, Ref
from tasks.cluster_control.service_accounts import ServiceAccount
from tasks.settings.load import Settings

SETTINGS = Settings(registry_extra_names=("images.homelab.local",))
WANTED = ClusterTarget(
    Login("cluster", "hunter2"), "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"
)
SECRET = pull_secrets.pull_secret(SETTINGS, WANTED.login)
CA = pull_secrets.ca(WANTED.ca_pem)
HOSTING = pull_secrets.hosting(SETTINGS)
NAME = "registry-credentials"
OUT = "registry_pull_secret_namespaces leaves that namespace out"


def held(content: Content) -> ExistingObject:
    """What the fact tells of a content of ours."""
    return ExistingObject(
        content.type, "homelab-registry", "2026-11-27T07:00:00Z", ("homelab-registry",), content.digest
    )


def of(kind: str, namespace: str, name: str) -> Ref:
    return Ref(kind, namespace, name)  # type: ignore[arg-type]


def cluster(*served: str, fresh: tuple[str, ...] = (), **given: Any) -> Cluster:
    """A cluster in which `served` namespaces have all of ours and `fresh` ones nothing."""
    objects = {of("ConfigMap", "kube-public", HOSTING.name): held(HOSTING)}
    for namespace in served:
        objects[of("Secret", namespace, NAME)] = held(SECRET)
        objects[of("ConfigMap", namespace, CA.name)] = held(CA)
    accounts = {of("ServiceAccount", each, "default"): ServiceAccount("7", ("mine",)) for each in fresh}
    accounts |= {
        of("ServiceAccount", each, "default"): ServiceAccount("7", ("mine", NAME), NAME) for each in served
    }
    namespaces = dict.fromkeys(("kube-public", "kube-system", *served, *fresh), False)
    return replace(Cluster("kubectl", "", namespaces, {}, objects, accounts), **given)


def planned(found: Cluster, **settings: object) -> Plan:
    return cluster_control.plan(SETTINGS.model_copy(update=settings), WANTED, found)


def lines(found: Cluster, **settings: object) -> list[str]:
    text = cluster_control.text(planned(found, **settings).changes)
    return text.splitlines()


def manifests(plan: Plan) -> Mapping[Ref, Any]:
    return {change.ref: change.manifest for change in plan.changes}


# What is put there.


def test_a_namespace_without_ours_gets_all_of_it() -> None:
    found = cluster(fresh=("default",), held={})
    assert lines(found) == [
        f"write the pull secret {NAME} in default: it is missing",
        "write the CA as ConfigMap homelab-registry-ca in default: it is missing",
        "write the ConfigMap local-registry-hosting in kube-public: it is missing",
        f"add {NAME} to the service account default in default: its pods would pull without it",
    ]
    assert "hunter2" not in repr(planned(found))


def test_the_pull_secret_holds_that_account_for_each_name_and_nothing_else() -> None:
    found = manifests(planned(cluster(fresh=("default",))))[of("Secret", "default", NAME)]
    assert found["type"] == "kubernetes.io/dockerconfigjson"
    assert found["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "homelab-registry"}
    auths = json.loads(b64decode(found["data"][".dockerconfigjson"]))["auths"]
    assert {name: b64decode(each["auth"]) for name, each in auths.items()} == {
        "registry.homelab.local": b"cluster:hunter2",
        "images.homelab.local": b"cluster:hunter2",
    }


def test_where_all_is_as_it_should_be_nothing_is_written() -> None:
    assert planned(cluster("default")) == Plan()


@pytest.mark.parametrize("change", [{"digest": "0" * 64}, {"type": "Opaque"}])
def test_a_secret_that_differs_is_written_anew(change: Mapping[str, Any]) -> None:
    found = cluster("default")
    ref = of("Secret", "default", NAME)
    objects = {**found.held, ref: replace(found.held[ref], **change)}
    assert lines(replace(found, held=objects)) == [
        f"write the pull secret {NAME} in default: its content is not as it should be"
    ]


def test_another_password_is_written_to_every_namespace_and_nothing_is_deleted() -> None:
    names = tuple(f"team-{number}" for number in range(200))
    plan = cluster_control.plan(
        SETTINGS.model_copy(update={"registry_pull_secret_namespaces": ("*",)}),
        replace(WANTED, login=Login("cluster", "another")),
        cluster(*names),
    )
    assert all(change.manifest for change in plan.changes)
    assert [change.ref.namespace for change in plan.changes] == list(names)
    assert cluster_control.text(plan.changes) == (
        f"write the pull secret {NAME} in 200 namespaces (team-0, team-1, team-2, …): its content is not as it should be"
    )


def test_an_entry_is_added_with_the_version_that_was_read_and_the_others_stay() -> None:
    found = manifests(planned(cluster(fresh=("default",))))[of("ServiceAccount", "default", "default")]
    assert found["imagePullSecrets"] == [{"name": "mine"}, {"name": NAME}]
    assert found["metadata"]["resourceVersion"] == "7"
    assert "homelab-registry/pull-secret" in found["metadata"]["labels"]


def test_an_entry_that_somebody_else_made_will_do_and_stays_theirs() -> None:
    theirs = {of("ServiceAccount", "default", "default"): ServiceAccount("7", (NAME,))}
    assert planned(cluster("default", accounts=theirs)) == Plan()
    assert planned(cluster("default", accounts=theirs), registry_patch_service_accounts=()) == Plan()


def test_an_entry_without_a_name_stays() -> None:
    there = {of("ServiceAccount", "default", "default"): ServiceAccount("7", ("", "mine"))}
    found = manifests(planned(cluster("default", accounts=there)))[of("ServiceAccount", "default", "default")]
    assert found["imagePullSecrets"] == [{"name": ""}, {"name": "mine"}, {"name": NAME}]


def test_an_account_that_is_not_there_yet_is_noted_and_keeps_nothing_from_being_done() -> None:
    plan = planned(cluster("default"), registry_patch_service_accounts=("default", "builder"))
    assert (plan.changes, plan.problems) == ([], [])
    assert plan.notes == [
        "there is no service account builder in default: the next run after it is made gives it the pull secret"
    ]


# Which namespaces.


def test_all_are_all_but_those_of_kubernetes_and_those_that_go() -> None:
    found = cluster(fresh=("apps", "default", "dying"))
    found = replace(found, namespaces={**found.namespaces, "dying": True})
    written = manifests(planned(found, registry_pull_secret_namespaces=("*",)))
    assert {ref.namespace for ref in written if ref.kind == "Secret"} == {"apps", "default"}


def test_a_namespace_that_is_missing_or_goes_is_a_line_and_the_rest_is_done() -> None:
    found = cluster(fresh=("apps", "dying"))
    found = replace(found, namespaces={**found.namespaces, "dying": True})
    plan = planned(found, registry_pull_secret_namespaces=("apps", "dying", "nowhere"))
    assert [problem for problem, _ in plan.problems] == [
        "registry_pull_secret_namespaces: there is no namespace nowhere",
        "registry_pull_secret_namespaces: dying is being deleted, and takes nothing new",
    ]
    assert {change.ref.namespace for change in plan.changes} == {"apps"}


# Whose is left alone.


def test_a_secret_of_somebody_else_is_never_written_and_its_owner_is_told() -> None:
    found = cluster("apps", "default")
    ref = of("Secret", "apps", NAME)
    theirs = ExistingObject("Opaque", "Helm", "2025-01-02T03:04:05Z", ("helm", "kubectl-edit"), "")
    plan = planned(
        replace(found, held={**found.held, ref: theirs}), registry_pull_secret_namespaces=("apps", "default")
    )
    assert plan.changes == []
    assert plan.problems == [
        (
            f"the secret {NAME} in apps is not ours (made 2025-01-02 by helm, kubectl-edit, "
            "app.kubernetes.io/managed-by=Helm), and stays as it is",
            f"delete it (kubectl -n apps delete secret {NAME}) or set another registry_pull_secret_name, and run again",
        )
    ]


def test_no_account_is_given_a_secret_of_somebody_else() -> None:
    found = cluster(fresh=("default",))
    theirs = {of("Secret", "default", NAME): ExistingObject("Opaque", "", "2025-01-02T03:04:05Z", (), "")}
    written = manifests(planned(replace(found, held={**found.held, **theirs})))
    assert [ref.kind for ref in written] == ["ConfigMap"]


def test_word_of_another_registry_is_noted_and_stays() -> None:
    found = cluster("default")
    theirs = {
        of("ConfigMap", "kube-public", HOSTING.name): ExistingObject(
            "", "", "2025-01-02T03:04:05Z", ("kind",), ""
        )
    }
    plan = planned(replace(found, held={**found.held, **theirs}))
    assert (plan.changes, plan.problems) == ([], [])
    assert plan.notes == [
        "the ConfigMap local-registry-hosting in kube-public is not ours (made 2025-01-02 by kind): "
        "it tells tools of another registry"
    ]


# What is taken back.


def test_a_namespace_that_is_taken_out_loses_ours_and_nothing_else() -> None:
    plan = planned(cluster("apps", "default"))
    assert cluster_control.text(plan.changes).splitlines() == [
        f"take {NAME} from the service account default in apps: {OUT}",
        f"delete the pull secret {NAME} from apps: {OUT}",
        f"delete the ConfigMap homelab-registry-ca from apps: {OUT}",
    ]
    account = manifests(plan)[of("ServiceAccount", "apps", "default")]
    assert account["imagePullSecrets"] == [{"name": "mine"}]
    assert account["metadata"] == {"name": "default", "namespace": "apps", "resourceVersion": "7"}


def test_an_account_that_is_taken_out_loses_the_entry() -> None:
    assert lines(cluster("default"), registry_patch_service_accounts=()) == [
        f"take {NAME} from the service account default in default: registry_patch_service_accounts leaves it out"
    ]


def test_another_name_of_the_secret_takes_the_place_of_the_old_one() -> None:
    plan = planned(cluster("default"), registry_pull_secret_name="regcred")
    assert cluster_control.text(plan.changes).splitlines() == [
        "write the pull secret regcred in default: it is missing",
        "add regcred to the service account default in default: its pods would pull without it",
        f"delete the pull secret {NAME} from default: it has another name now",
    ]
    account = manifests(plan)[of("ServiceAccount", "default", "default")]
    assert account["imagePullSecrets"] == [{"name": "mine"}, {"name": "regcred"}]


def test_nothing_is_deleted_in_a_namespace_that_goes() -> None:
    found = cluster("apps", "default")
    assert planned(replace(found, namespaces={**found.namespaces, "apps": True})) == Plan()


def test_a_copy_of_ours_that_somebody_else_made_stays() -> None:
    found = cluster("default", fresh=("apps",))
    copy = replace(held(SECRET), managers=("kubed",))
    theirs = {of("Secret", "apps", NAME): copy, of("Secret", "default", "copied"): copy}
    assert planned(replace(found, held={**found.held, **theirs})).changes == []


def test_what_could_not_be_read_is_left_alone() -> None:
    found = cluster(fresh=("default",), unread=frozenset({"configmaps", "serviceaccounts"}), accounts={})
    assert lines(found) == [f"write the pull secret {NAME} in default: it is missing"]


def test_a_policy_that_quotes_what_it_refuses_is_told_without_it() -> None:
    data = SECRET.data[".dockerconfigjson"]
    for quoted in (data, b64decode(data).decode(), WANTED.login.auth, "hunter2"):
        told = pull_secrets.without_secrets(f"not here: {quoted}", SETTINGS, WANTED.login)
        assert told == "not here: (not shown)"


# Nodes.


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"k3s-1"}, ["late"]),
        ({"K3S-1.lan", "192.0.2.9"}, []),
        ({"192.0.2.21", "late"}, []),
        ({"192.0.2.2", "10.0.0.1"}, ["k3s-1", "late"]),
        (set(), ["k3s-1", "late"]),
    ],
)
def test_nodes_that_no_inventory_has(known: set[str], expected: list[str]) -> None:
    nodes = {"k3s-1": frozenset({"k3s-1", "192.0.2.21"}), "late": frozenset({"late", "192.0.2.9"})}
    assert cluster_control.nodes_not_in_inventory(nodes, known) == expected
