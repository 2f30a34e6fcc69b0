"""An obstacle to a part of the work is one line, does not affect the rest, and shows no secret.

One run meets many of them at once, each in namespaces of its own.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cluster.served import ALL, NAME, Served
from tests.fleet.deployment import RunResult
from tests.fleet.tracing import Needles

ADMISSION = "admissionregistration.k8s.io/v1"
SECRETS = {
    "apiGroups": [""],
    "apiVersions": ["v1"],
    "operations": ["CREATE", "UPDATE"],
    "resources": ["secrets"],
}
REFUSING = '''
import http.server, json, ssl
SAID = """

resource {kind}/{namespace}/{name} was blocked due to the following policies

require-team:
  check: 'validation error: label team is required. rule check failed at path
    /metadata/labels/team/'
"""
class Answer(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["request"]
        said = SAID.format(kind=asked["kind"]["kind"], namespace=asked["namespace"], name=asked["name"])
        response = {"uid": asked["uid"], "allowed": False, "status": {"message": said}}
        text = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/root/hook.pem")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 9443), Answer)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
'''
"""A webhook with Kyverno's message (kyverno, pkg/webhooks/utils/block.go)."""


def chosen(*namespaces: str) -> dict[str, Any]:
    names = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": namespaces}
    return {"matchExpressions": [names]}


def hook(served: Served, name: str, port: int, *namespaces: str) -> Mapping[str, Any]:
    bundle = b64encode(served.cluster.authority.certificate.encode()).decode()
    return {
        "apiVersion": ADMISSION, "kind": "ValidatingWebhookConfiguration", "metadata": {"name": name},
        "webhooks": [{
            "name": f"{name}.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {"url": f"https://127.0.0.1:{port}/", "caBundle": bundle},
            "rules": [SECRETS], "namespaceSelector": chosen(*namespaces),
        }],
    }  # fmt: skip


def policy(name: str, validation: Mapping[str, str], *namespaces: str) -> list[Mapping[str, Any]]:
    """A policy that refuses new secrets, with its binding."""
    return [
        {"apiVersion": ADMISSION, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
         "spec": {"matchConstraints": {"resourceRules": [SECRETS]},
                  "validations": [{"expression": "false", **validation}]}},
        {"apiVersion": ADMISSION, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
         "spec": {"policyName": name, "validationActions": ["Deny"],
                  "matchResources": {"namespaceSelector": chosen(*namespaces)}}},
    ]  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """A run, its calls of kubectl, and the secrets after it."""

    ran: RunResult
    calls: list[str]
    secrets: Mapping[str, Any]

    def problem(self, about: str) -> str:
        """Return the one problem with `about` in it."""
        (problem,) = (line for line in self.ran.problems if about in line)
        return problem


REFUSED = ["team-010", "team-011", "team-030", "team-031", "team-033", "team-034"]
BESIDE = ["team-012", "team-032"]


@pytest.fixture(scope="module")
def refused(served: Served) -> Seen:
    """A run with `-vvv` that two policies and two webhooks refuse."""
    served.settle()
    cluster, control = served.cluster, served.cluster.control
    pair = cluster.authority.server(["127.0.0.1"])
    control.write("/root/hook.pem", pair.certificate + pair.key, "0600")
    control.write("/root/hook.py", REFUSING)
    control.run("systemd-run --unit=hook python3 /root/hook.py")
    quoting = "'not here: ' + (has(object.data) ? object.data['.dockerconfigjson'] : '')"
    cluster.apply(
        *policy("vault", {"message": "secrets come from Vault"}, "team-010", "team-011"),
        *policy("quoting", {"messageExpression": quoting}, "team-034"),
        hook(served, "wordy", 9443, "team-030", "team-031"),
        hook(served, "down", 9444, "team-033"),
    )
    for name in (*REFUSED, *BESIDE):
        cluster.kubectl("delete", "secret", NAME, "-n", name)
    probe = f"kubectl create secret generic {NAME} -n $name --dry-run=server >/dev/null 2>&1"
    control.wait_until(
        f"for name in {' '.join(REFUSED)}; do ! {probe} || exit 1; done", 60, "all that refuses"
    )
    seen = Seen(served.run("-y", "-vvv", **ALL), served.calls, served.secrets())
    kinds = "validatingadmissionpolicybindings,validatingadmissionpolicies,validatingwebhookconfigurations"
    cluster.kubectl("delete", kinds, "--all", "--timeout=30s")
    control.run("systemctl stop hook")
    control.wait_until(f"for name in {' '.join(REFUSED)}; do {probe} || exit 1; done", 60, "its end")
    return seen


@pytest.fixture(scope="module")
def changed(served: Served) -> Seen:
    """A run after others created and changed objects; `team-040` is in the middle of kubectl's answer."""
    served.settle()
    kubectl = served.cluster.kubectl
    kubectl("delete", "secret", NAME, "-n", "team-040")
    kubectl("create", "secret", "generic", NAME, "-n", "team-040", "--from-literal=a=b")
    added = json.dumps({"stringData": {"theirs": "x"}, "metadata": {"labels": {"team": "a"}}})
    kubectl("patch", "secret", NAME, "-n", "team-041", "--type=merge", "-p", added)
    copy = served.secrets()["team-042"]
    copy["metadata"] = {"name": "copy", "namespace": "kube-system", "labels": copy["metadata"]["labels"]}
    kubectl("create", "-f", "-", stdin=json.dumps(copy))
    seen = Seen(served.run("-y", "-v", **ALL), served.calls, served.secrets())
    kubectl("delete", "secret", NAME, "-n", "team-040")
    return seen


def test_each_refusal_is_one_line_and_the_rest_is_done(refused: Seen) -> None:
    assert refused.ran.exit_code == 1
    assert len(refused.ran.problems) == 4
    assert {*REFUSED, *BESIDE} & set(refused.secrets) == set(BESIDE)


def test_a_policy_that_refuses(refused: Seen) -> None:
    assert (
        f"could not write the pull secret {NAME} in team-010, team-011: "
        'the admission policy "vault" refuses it: secrets come from Vault; '
    ) in refused.problem("vault")


def test_a_webhooks_message_of_many_lines_becomes_one(refused: Seen) -> None:
    assert (
        f"could not write the pull secret {NAME} in team-030, team-031: "
        f'the admission webhook "wordy.example.com" refuses it: resource Secret/team-030/{NAME} was blocked due to the '
        "following policies require-team: check: 'validation error: label team is required. rule check failed at path "
        "/metadata/labels/team/'; "
    ) in refused.problem("wordy")


def test_a_webhook_that_is_down(refused: Seen) -> None:
    problem = refused.problem("down.example.com")
    assert f"could not write the pull secret {NAME} in team-033: " in problem
    assert 'failed calling webhook "down.example.com"' in problem
    assert "fix that webhook" in problem


def test_a_policy_that_quotes_what_it_refuses_shows_no_secret(served: Served, refused: Seen) -> None:
    assert 'the admission policy "quoting" refuses it: not here: (not shown); ' in refused.problem("quoting")
    passwords = served.deployment.store.read().passwords
    assert (
        Needles({password: name for name, password in passwords.items()}).within(refused.ran.output) == set()
    )


def test_somebody_elses_secret_is_reported_and_never_overwritten(changed: Seen) -> None:
    assert (changed.ran.exit_code, changed.calls, changed.ran.steps) == (1, ["get"], [])
    (problem,) = changed.ran.problems
    assert f"the secret {NAME} in team-040 is not ours (created 20" in problem
    assert "by kubectl-create" in problem
    assert changed.ran.reasons[-1] == "the rest is as it should be"
    assert changed.secrets["team-040"]["data"] == {"a": "Yg=="}


def test_what_others_add_to_our_objects_stays_and_is_no_reason_to_write(changed: Seen) -> None:
    found = changed.secrets["team-041"]
    assert found["data"]["theirs"] == "eA=="
    assert found["metadata"]["labels"]["team"] == "a"


def test_a_copy_that_somebody_made_of_our_secret_stays(served: Served, changed: Seen) -> None:
    assert list(served.secrets("copy")) == ["kube-system"]
    served.cluster.kubectl("delete", "secret", "copy", "-n", "kube-system")


@pytest.mark.usefixtures("settled")
def test_a_user_who_may_only_read_learns_which_right_is_missing(served: Served) -> None:
    login = served.cluster.login("reader")
    rights = {
        "apiGroups": [""],
        "resources": ["namespaces", "secrets", "serviceaccounts", "nodes"],
        "verbs": ["list"],
    }
    api = "rbac.authorization.k8s.io"
    served.cluster.apply(
        {"apiVersion": f"{api}/v1", "kind": "ClusterRole", "metadata": {"name": "reader"}, "rules": [rights]},
        {
            "apiVersion": f"{api}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "reader"},
            "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": "reader"},
            "subjects": [{"apiGroup": api, "kind": "User", "name": "reader"}],
        },
    )
    served.cluster.kubectl("delete", "secret", NAME, "-n", "team-043")
    ran = served.run(**ALL, registry_kubeconfig=login)
    assert ran.exit_code == 1
    assert [problem.partition(" (kubectl")[0].partition("; give")[0] for problem in ran.problems] == [
        '[control] the user "reader" may not list configmaps in the whole cluster',
        f"[control] could not write the pull secret {NAME} in team-043: "
        'the user "reader" may not patch secrets there',
    ]


@pytest.mark.usefixtures("settled")
def test_a_rotation_does_not_wait_for_whoever_may_edit_a_namespace(served: Served) -> None:
    """Else they could keep a leaked password valid by a secret of their own in the place of ours."""
    kubectl, deployment = served.cluster.kubectl, served.deployment
    kubectl("delete", "secret", NAME, "-n", "team-040")
    kubectl("create", "secret", "generic", NAME, "-n", "team-040", "--from-literal=a=b")
    deployment.set(registry_state_dir=f"{deployment.folder}/state", **ALL)
    ran = deployment.run(deploy="deploys/rotate_credentials.py")
    served.settled = False
    kubectl("delete", "secret", NAME, "-n", "team-040")
    (problem,) = ran.problems
    assert f"the secret {NAME} in team-040 is not ours" in problem
    assert ran.exit_code == 1
    assert "no rotation waits for namespaces that cannot be finished: what pulls there" in ran.output
    state = deployment.store.read()
    assert state.former == {}
    assert served.login("team-041") == f"cluster:{state.passwords['cluster']}"
