"""Pull secrets with a real API server: how often kubectl is called, what is written, and what is not."""

from __future__ import annotations

import time

import pytest

from tests.cluster.served import ALL, NAME, OURS, RECORDS, TEAMS, Served
from tests.fleet.tracing import Needles

pytestmark = pytest.mark.usefixtures("settled")


def test_all_namespaces_are_served_in_two_calls_and_a_run_after_that_is_one(served: Served) -> None:
    ran = served.run(registry_pull_secret_namespaces=[], registry_patch_service_accounts=[])
    assert (ran.exit_code, served.calls) == (0, ["get", "apply", "delete"])
    assert served.secrets() == {}
    assert served.entries("team-007") == []
    began = time.monotonic()
    ran = served.run(**ALL)
    print(f"{time.monotonic() - began:.1f} s for a run that serves {len(TEAMS)} namespaces")
    assert (ran.exit_code, served.calls) == (0, ["get", "apply"])
    assert sorted(served.secrets()) == ["default", *TEAMS]
    assert [served.entries(name) for name in ("default", "team-199")] == [[NAME], [NAME]]
    assert served.secrets("other") == {}
    versions = {name: each["metadata"]["resourceVersion"] for name, each in served.secrets().items()}
    ran = served.run(**ALL)
    assert (ran.exit_code, served.calls, ran.steps) == (0, ["get"], [])
    assert versions == {name: each["metadata"]["resourceVersion"] for name, each in served.secrets().items()}


def test_a_plan_prints_the_steps_of_the_run_and_calls_kubectl_once(served: Served) -> None:
    served.cluster.kubectl("delete", "secrets", "-l", OURS, "-n", "team-001")
    plan = served.run("--dry", **ALL)
    assert served.calls == ["get"]
    assert "team-001" not in served.secrets()
    assert served.run(**ALL).steps == plan.steps
    assert plan.steps == [f"write the pull secret {NAME} in team-001: it is missing"]


def test_a_new_password_is_in_every_namespace_after_the_same_run_in_the_same_secrets(served: Served) -> None:
    before = {name: each["metadata"]["uid"] for name, each in served.secrets().items()}
    (served.deployment.folder / "state/accounts/cluster.password").write_text("a new one, typed\n")
    ran = served.run(**ALL)
    assert (ran.exit_code, served.calls) == (0, ["get", "apply"])
    assert {name: each["metadata"]["uid"] for name, each in served.secrets().items()} == before
    assert {served.login(name) for name in ("default", "team-000", "team-199")} == {
        "cluster:a new one, typed"
    }


def test_others_entries_stay_and_only_ours_is_removed(served: Served) -> None:
    patch = '[{"op": "add", "path": "/imagePullSecrets/0", "value": {"name": "mine"}}]'
    served.cluster.kubectl("patch", "sa", "default", "-n", "team-003", "--type=json", "-p", patch)
    assert served.run(**ALL).steps == []
    assert served.run(**ALL, registry_patch_service_accounts=[]).exit_code == 0
    assert [served.entries("team-003"), served.entries("team-004")] == [["mine"], []]
    account = served.cluster.get("sa", "default", "-n", "team-003")["metadata"]
    assert not {"labels", "annotations"} & set(account)
    assert served.run(**ALL).exit_code == 0
    assert served.entries("team-003") == ["mine", NAME]


def test_names_as_long_as_kubernetes_allows(served: Served) -> None:
    name, namespace = "s" * 253, "n" * 63
    served.cluster.kubectl("create", "namespace", namespace)
    ran = served.run(**ALL, registry_pull_secret_name=name)
    assert (ran.exit_code, served.calls) == (0, ["get", "apply", "delete"])
    assert namespace in served.secrets(name)
    assert served.secrets() == {}
    assert served.entries("team-000") == [name]
    served.cluster.kubectl("delete", "namespace", namespace)


def test_a_terminating_and_a_missing_namespace_are_one_line_each(served: Served) -> None:
    held = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "x", "namespace": "dying", "finalizers": ["a.b/c"]},
    }
    served.cluster.kubectl("create", "namespace", "dying")
    served.cluster.apply(held)
    served.cluster.kubectl("delete", "namespace", "dying", "--wait=false")
    ran = served.run(registry_pull_secret_namespaces=["default", "dying", "nowhere", "team-000"])
    clear = '{"metadata": {"finalizers": null}}'
    served.cluster.kubectl("patch", "configmap", "x", "-n", "dying", "--type=merge", "-p", clear)
    assert ran.exit_code == 1
    assert [line.partition(": ")[2].partition(";")[0] for line in ran.problems] == [
        "there is no namespace nowhere",
        "dying is being deleted and accepts no new objects",
    ]
    assert sorted(served.secrets()) == ["default", "team-000"]


def test_missing_rights_are_named(served: Served) -> None:
    ran = served.run(**ALL, registry_kubeconfig=served.cluster.login("nobody"))
    assert ran.exit_code == 1
    assert len(ran.problems) == 1
    assert (
        'the user "nobody" may not list namespaces, nodes, serviceaccounts, secrets, configmaps in the whole cluster'
        in ran.problems[0]
    )


def test_an_api_server_that_is_down_is_reported(served: Served) -> None:
    served.cluster.stop_api_server()
    ran = served.run(**ALL)
    served.cluster.start_api_server()
    assert ran.exit_code == 1
    assert len(ran.problems) == 1
    assert (
        f"the API server at {served.cluster.server.removeprefix('https://')} does not answer"
        in ran.problems[0]
    )


def test_no_secret_is_in_arguments_environments_or_output(served: Served) -> None:
    served.cluster.kubectl("delete", "secrets", "-l", OURS, "-n", "team-001")
    assert served.run("-y", "-vvv", **ALL).exit_code == 0
    passwords = served.deployment.store.read().passwords
    assert set(passwords) == {"admin", "ci", "cluster"}
    needles = Needles({password: name for name, password in passwords.items()})
    recorded = served.cluster.control.run(f"cat {RECORDS}/[0-9]* | tr '\\0' '\\n'").stdout
    assert "--field-manager=homelab-registry" in recorded
    assert needles.within(recorded) == set()
    assert needles.within("\n".join(served.outputs)) == set()
