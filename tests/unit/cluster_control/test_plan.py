"""What is written to which namespaces, what of others is left alone, what is removed, and how it is reported."""

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
from tasks.cluster_control.plan import Cluster, ClusterTarget, NamespaceProblem, Plan
from tasks.cluster_control.pull_secrets import Content, ExistingObject, Ref
from tasks.cluster_control.service_accounts import ServiceAccount
from tasks.settings.load import Settings

SETTINGS = Settings(registry_extra_names=("images.homelab.local",))
TARGET = ClusterTarget(
    Login("cluster", "hunter2"), "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"
)
SECRET = pull_secrets.pull_secret(SETTINGS, TARGET.login)
CA = pull_secrets.ca(TARGET.ca_pem)
HOSTING = pull_secrets.hosting(SETTINGS)
NAME = "registry-credentials"
NOT_NAMED = "registry_pull_secret_namespaces does not name that namespace"


def existing(content: Content) -> ExistingObject:
    """Return what the fact reads of a content of ours."""
    return ExistingObject(
        content.type, "homelab-registry", "2026-11-27T07:00:00Z", ("homelab-registry",), content.digest
    )


def ref_of(kind: str, namespace: str, name: str) -> Ref:
    return Ref(kind, namespace, name)  # type: ignore[arg-type]


def cluster(*served: str, fresh: tuple[str, ...] = (), **given: Any) -> Cluster:
    """Return a cluster in which `served` namespaces have all of our objects and `fresh` ones none."""
    objects = {ref_of("ConfigMap", "kube-public", HOSTING.name): existing(HOSTING)}
    for namespace in served:
        objects[ref_of("Secret", namespace, NAME)] = existing(SECRET)
        objects[ref_of("ConfigMap", namespace, CA.name)] = existing(CA)
    accounts = {ref_of("ServiceAccount", each, "default"): ServiceAccount("7", ("mine",)) for each in fresh}
    accounts |= {
        ref_of("ServiceAccount", each, "default"): ServiceAccount("7", ("mine", NAME), NAME)
        for each in served
    }
    namespaces = dict.fromkeys(("kube-public", "kube-system", *served, *fresh), False)
    return replace(Cluster("kubectl", "", namespaces, {}, objects, accounts), **given)


def planned(found: Cluster, **settings: object) -> Plan:
    return cluster_control.plan(SETTINGS.model_copy(update=settings), TARGET, found)


def lines(found: Cluster, **settings: object) -> list[str]:
    text = cluster_control.text(planned(found, **settings).changes)
    return text.splitlines()


def manifests(plan: Plan) -> Mapping[Ref, Any]:
    return {change.ref: change.manifest for change in plan.changes}


# What is written.


def test_a_fresh_namespace_gets_all_objects() -> None:
    found = cluster(fresh=("default",), objects={})
    assert lines(found) == [
        f"write the pull secret {NAME} in default: it is missing",
        "write the CA as ConfigMap homelab-registry-ca in default: it is missing",
        "write the ConfigMap local-registry-hosting in kube-public: it is missing",
        f"add {NAME} to the service account default in default: its pods need it to pull",
    ]
    assert "hunter2" not in repr(planned(found))


def test_the_pull_secret_has_one_login_for_each_name_of_the_registry() -> None:
    found = manifests(planned(cluster(fresh=("default",))))[ref_of("Secret", "default", NAME)]
    assert found["type"] == "kubernetes.io/dockerconfigjson"
    assert found["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "homelab-registry"}
    auths = json.loads(b64decode(found["data"][".dockerconfigjson"]))["auths"]
    assert {name: b64decode(each["auth"]) for name, each in auths.items()} == {
        "registry.homelab.local": b"cluster:hunter2",
        "images.homelab.local": b"cluster:hunter2",
    }


def test_nothing_is_written_if_all_is_as_it_should_be() -> None:
    assert planned(cluster("default")) == Plan()


@pytest.mark.parametrize("change", [{"digest": "0" * 64}, {"type": "Opaque"}])
def test_a_secret_that_differs_is_written_again(change: Mapping[str, Any]) -> None:
    found = cluster("default")
    ref = ref_of("Secret", "default", NAME)
    objects = {**found.objects, ref: replace(found.objects[ref], **change)}
    assert lines(replace(found, objects=objects)) == [
        f"write the pull secret {NAME} in default: its content is not as it should be"
    ]


def test_a_new_password_is_written_to_every_namespace_and_nothing_is_deleted() -> None:
    names = tuple(f"team-{number}" for number in range(200))
    plan = cluster_control.plan(
        SETTINGS.model_copy(update={"registry_pull_secret_namespaces": ("*",)}),
        replace(TARGET, login=Login("cluster", "another")),
        cluster(*names),
    )
    assert all(change.manifest for change in plan.changes)
    assert [change.ref.namespace for change in plan.changes] == list(names)
    assert cluster_control.text(plan.changes) == (
        f"write the pull secret {NAME} in 200 namespaces (team-0, team-1, team-2, …): its content is not as it should be"
    )


def test_an_entry_is_added_with_the_version_that_was_read_and_the_others_stay() -> None:
    found = manifests(planned(cluster(fresh=("default",))))[ref_of("ServiceAccount", "default", "default")]
    assert found["imagePullSecrets"] == [{"name": "mine"}, {"name": NAME}]
    assert found["metadata"]["resourceVersion"] == "7"
    assert "homelab-registry/pull-secret" in found["metadata"]["labels"]


def test_an_entry_that_somebody_else_added_is_good_enough_and_stays_theirs() -> None:
    theirs = {ref_of("ServiceAccount", "default", "default"): ServiceAccount("7", (NAME,))}
    assert planned(cluster("default", accounts=theirs)) == Plan()
    assert planned(cluster("default", accounts=theirs), registry_patch_service_accounts=()) == Plan()


def test_an_entry_without_a_name_stays() -> None:
    there = {ref_of("ServiceAccount", "default", "default"): ServiceAccount("7", ("", "mine"))}
    found = manifests(planned(cluster("default", accounts=there)))[
        ref_of("ServiceAccount", "default", "default")
    ]
    assert found["imagePullSecrets"] == [{"name": ""}, {"name": "mine"}, {"name": NAME}]


def test_a_missing_service_account_is_a_note_and_no_problem() -> None:
    plan = planned(cluster("default"), registry_patch_service_accounts=("default", "builder"))
    assert (plan.changes, plan.problems) == ([], [])
    assert plan.notes == [
        "there is no service account builder in default yet: the next run after it is created adds the pull secret "
        "to it"
    ]


# Which namespaces.


def test_all_namespaces_leaves_out_those_of_kubernetes_and_terminating_ones() -> None:
    found = cluster(fresh=("apps", "default", "dying"))
    found = replace(found, namespaces={**found.namespaces, "dying": True})
    written = manifests(planned(found, registry_pull_secret_namespaces=("*",)))
    assert {ref.namespace for ref in written if ref.kind == "Secret"} == {"apps", "default"}


def test_a_missing_or_terminating_namespace_is_a_problem_and_the_rest_is_served() -> None:
    found = cluster(fresh=("apps", "dying"))
    found = replace(found, namespaces={**found.namespaces, "dying": True})
    plan = planned(found, registry_pull_secret_namespaces=("apps", "dying", "nowhere"))
    assert [problem for problem, _ in plan.problems] == [
        "registry_pull_secret_namespaces: there is no namespace nowhere",
        "registry_pull_secret_namespaces: dying is being deleted and accepts no new objects",
    ]
    assert {change.ref.namespace for change in plan.changes} == {"apps"}
    assert all(isinstance(each, NamespaceProblem) for each in plan.problems)


# What of others is left alone.


def test_somebody_elses_secret_is_never_written_and_its_origin_is_reported() -> None:
    found = cluster("apps", "default")
    ref = ref_of("Secret", "apps", NAME)
    theirs = ExistingObject("Opaque", "Helm", "2025-01-02T03:04:05Z", ("helm", "kubectl-edit"), "")
    plan = planned(
        replace(found, objects={**found.objects, ref: theirs}),
        registry_pull_secret_namespaces=("apps", "default"),
    )
    assert plan.changes == []
    assert isinstance(plan.problems[0], NamespaceProblem)
    assert plan.problems == [
        (
            f"the secret {NAME} in apps is not ours (created 2025-01-02 by helm, kubectl-edit, "
            "app.kubernetes.io/managed-by=Helm) and stays as it is",
            f"delete it (kubectl -n apps delete secret {NAME}) or set another registry_pull_secret_name, and run again",
        )
    ]


def test_no_service_account_gets_somebody_elses_secret() -> None:
    found = cluster(fresh=("default",))
    theirs = {ref_of("Secret", "default", NAME): ExistingObject("Opaque", "", "2025-01-02T03:04:05Z", (), "")}
    written = manifests(planned(replace(found, objects={**found.objects, **theirs})))
    assert [ref.kind for ref in written] == ["ConfigMap"]


def test_the_announcement_of_another_registry_is_noted_and_stays() -> None:
    found = cluster("default")
    theirs = {
        ref_of("ConfigMap", "kube-public", HOSTING.name): ExistingObject(
            "", "", "2025-01-02T03:04:05Z", ("kind",), ""
        )
    }
    plan = planned(replace(found, objects={**found.objects, **theirs}))
    assert (plan.changes, plan.problems) == ([], [])
    assert plan.notes == [
        "the ConfigMap local-registry-hosting in kube-public is not ours (created 2025-01-02 by kind): "
        "tools in the cluster use another registry"
    ]


# What is removed.


def test_a_namespace_that_is_no_longer_named_loses_our_objects_and_nothing_else() -> None:
    plan = planned(cluster("apps", "default"))
    assert cluster_control.text(plan.changes).splitlines() == [
        f"remove {NAME} from the service account default in apps: {NOT_NAMED}",
        f"delete the pull secret {NAME} from apps: {NOT_NAMED}",
        f"delete the ConfigMap homelab-registry-ca from apps: {NOT_NAMED}",
    ]
    account = manifests(plan)[ref_of("ServiceAccount", "apps", "default")]
    assert account["imagePullSecrets"] == [{"name": "mine"}]
    assert account["metadata"] == {"name": "default", "namespace": "apps", "resourceVersion": "7"}


def test_a_service_account_that_is_no_longer_named_loses_our_entry() -> None:
    assert lines(cluster("default"), registry_patch_service_accounts=()) == [
        f"remove {NAME} from the service account default in default: registry_patch_service_accounts does not name it"
    ]


def test_a_new_name_of_the_secret_replaces_the_old_one() -> None:
    plan = planned(cluster("default"), registry_pull_secret_name="regcred")
    assert cluster_control.text(plan.changes).splitlines() == [
        "write the pull secret regcred in default: it is missing",
        "add regcred to the service account default in default: its pods need it to pull",
        f"delete the pull secret {NAME} from default: registry_pull_secret_name names another",
    ]
    account = manifests(plan)[ref_of("ServiceAccount", "default", "default")]
    assert account["imagePullSecrets"] == [{"name": "mine"}, {"name": "regcred"}]


def test_nothing_is_deleted_in_a_terminating_namespace() -> None:
    found = cluster("apps", "default")
    assert planned(replace(found, namespaces={**found.namespaces, "apps": True})) == Plan()


def test_a_copy_that_somebody_else_made_of_our_object_stays() -> None:
    found = cluster("default", fresh=("apps",))
    copy = replace(existing(SECRET), managers=("kubed",))
    theirs = {ref_of("Secret", "apps", NAME): copy, ref_of("Secret", "default", "copied"): copy}
    assert planned(replace(found, objects={**found.objects, **theirs})).changes == []


def test_kinds_that_could_not_be_read_are_left_alone() -> None:
    found = cluster(fresh=("default",), unreadable=frozenset({"configmaps", "serviceaccounts"}), accounts={})
    assert lines(found) == [f"write the pull secret {NAME} in default: it is missing"]


def test_a_message_that_quotes_the_secret_is_shown_without_it() -> None:
    data = SECRET.data[".dockerconfigjson"]
    for quoted in (data, b64decode(data).decode(), TARGET.login.auth, "hunter2"):
        shown = pull_secrets.without_secrets(f"not here: {quoted}", SETTINGS, TARGET.login)
        assert shown == "not here: (not shown)"


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
def test_nodes_that_are_in_no_inventory(known: set[str], expected: list[str]) -> None:
    nodes = {"k3s-1": frozenset({"k3s-1", "192.0.2.21"}), "late": frozenset({"late", "192.0.2.9"})}
    found = Cluster("kubectl", "", nodes=nodes)
    assert cluster_control.nodes_not_in_inventory(found, known) == expected


def test_a_docker_host_is_in_the_inventory_if_its_pods_are_pulled_through_docker() -> None:
    nodes = {name: frozenset({name}) for name in ("dockered", "other", "new")}
    found = Cluster("kubectl", "", nodes=nodes, docker_nodes=frozenset({"dockered", "new"}))
    assert cluster_control.nodes_not_in_inventory(found, {"x"}, {"dockered.lan", "other"}) == ["other", "new"]
