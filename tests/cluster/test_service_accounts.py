"""Service accounts belong to others too: what they write stays, even if they write while we do."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.bench.cluster import ADMIN, KUBECTL
from tests.cluster.served import ALL, NAME, OTHERS, Served

pytestmark = pytest.mark.usefixtures("settled")

ACCOUNT = f"{KUBECTL} --kubeconfig={ADMIN} -n team-020 patch serviceaccount default"
ADDED = """--type=json -p '[{"op": "add", "path": "/imagePullSecrets", "value": [{"name": "late"}]}]'"""
TOUCHED = """--type=merge -p '{"metadata": {"annotations": {"touched": "'$$'"}}}'"""


@pytest.fixture
def without_entry(served: Served) -> Iterator[Served]:
    """Remove our entry in team-020, so that a run has to add that and nothing else."""
    reset = {
        "imagePullSecrets": None,
        "metadata": {"labels": None, "annotations": {"homelab-registry/pull-secret": None}},
    }
    served.cluster.kubectl(
        "patch", "sa", "default", "-n", "team-020", "--type=merge", "-p", json.dumps(reset)
    )
    yield served
    served.cluster.control.run(f"rm -f {OTHERS}")


def test_an_entry_that_somebody_adds_between_reading_and_writing_stays(without_entry: Served) -> None:
    served = without_entry
    served.cluster.control.write(OTHERS, f"#!/bin/sh\nrm {OTHERS}\n{ACCOUNT} {ADDED}\n", "0755")
    ran = served.run(**ALL)
    assert (ran.exit_code, served.calls) == (0, ["get", "apply", "get", "apply"])
    assert served.entries("team-020") == ["late", NAME]
    assert ran.problems == []


def test_a_writer_that_never_stops_is_reported_and_the_next_run_succeeds(without_entry: Served) -> None:
    served = without_entry
    served.cluster.kubectl("delete", "secret", NAME, "-n", "team-021")
    served.cluster.control.write(OTHERS, f"#!/bin/sh\n{ACCOUNT} {TOUCHED}\n", "0755")
    ran = served.run(**ALL)
    served.cluster.control.run(f"rm {OTHERS}")
    assert ran.exit_code == 1
    (problem,) = ran.problems
    assert "could not write service accounts (default): others keep changing them; run again" in problem
    assert served.calls.count("apply") == 6
    assert served.entries("team-020") == []
    assert "team-021" in served.secrets()
    ran = served.run(**ALL)
    assert (ran.exit_code, ran.steps) == (
        0,
        [f"add {NAME} to the service account default in team-020: its pods need it to pull"],
    )


def test_malformed_entries_stay_as_they_are(without_entry: Served) -> None:
    served = without_entry
    malformed = [{"name": "a,b"}, {"name": "line\ncomplete|yes"}, {}, {"name": "object|Secret"}]
    patch = json.dumps({"imagePullSecrets": malformed})
    served.cluster.kubectl("patch", "sa", "default", "-n", "team-020", "--type=merge", "-p", patch)
    assert served.run(**ALL).exit_code == 0
    account = served.cluster.get("sa", "default", "-n", "team-020")
    assert account["imagePullSecrets"] == [*malformed, {"name": NAME}]
    assert served.run(**ALL).steps == []
    assert served.run(**ALL, registry_patch_service_accounts=[]).exit_code == 0
    assert served.cluster.get("sa", "default", "-n", "team-020")["imagePullSecrets"] == malformed


def test_a_service_account_created_later_gets_the_secret_at_the_next_run(served: Served) -> None:
    both = {
        "registry_pull_secret_namespaces": ["team-022"],
        "registry_patch_service_accounts": ["builder", "default"],
    }
    ran = served.run(**both)
    assert ran.exit_code == 0
    assert "there is no service account builder in team-022" in ran.output
    served.cluster.kubectl("create", "serviceaccount", "builder", "-n", "team-022")
    ran = served.run(**both)
    assert ran.steps == [f"add {NAME} to the service account builder in team-022: its pods need it to pull"]
    assert served.entries("team-022", "builder") == [NAME]
    served.cluster.kubectl("delete", "serviceaccount", "builder", "-n", "team-022")
