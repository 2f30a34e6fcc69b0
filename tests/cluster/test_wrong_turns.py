"""What stands against a part of the work is one line, does not touch the rest, and shows no secret."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.bench.cluster import Cluster
from tests.cluster.served import ALL, NAME, Served
from tests.fleet.tracing import Needles

pytestmark = pytest.mark.usefixtures("settled")

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
"""A webhook that says what Kyverno says (kyverno, pkg/webhooks/utils/block.go)."""


def chosen(*namespaces: str) -> dict[str, Any]:
    names = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": namespaces}
    return {"matchExpressions": [names]}


def refused_in(served: Served, namespace: str) -> str:
    """Return the command that succeeds where no secret can be made."""
    return f"! kubectl create secret generic probe -n {namespace} --dry-run=server >/dev/null 2>&1"


@pytest.fixture
def admission(served: Served) -> Iterator[Cluster]:
    """The cluster, of which what stands at its admission is removed afterwards."""
    yield served.cluster
    served.cluster.kubectl(
        "delete", "validatingadmissionpolicybindings,validatingadmissionpolicies", "--all", "--timeout=30s"
    )
    served.cluster.kubectl("delete", "validatingwebhookconfigurations", "--all", "--timeout=30s")
    served.cluster.control.run("systemctl stop hook || true")
    served.cluster.control.wait_until(f"! ({refused_in(served, 'team-030')})", 60, "admission to team-030")


def hook(served: Served, *namespaces: str) -> Mapping[str, Any]:
    bundle = b64encode(served.cluster.authority.certificate.encode()).decode()
    return {
        "apiVersion": ADMISSION, "kind": "ValidatingWebhookConfiguration", "metadata": {"name": "hook"},
        "webhooks": [{
            "name": "hook.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {"url": "https://127.0.0.1:9443/", "caBundle": bundle},
            "rules": [SECRETS], "namespaceSelector": chosen(*namespaces),
        }],
    }  # fmt: skip


def test_somebody_elses_secret_is_told_and_no_other_is_written_for_it(served: Served) -> None:
    """Its place among ours is in the middle of the answer."""
    served.cluster.kubectl("delete", "secret", NAME, "-n", "team-030")
    served.cluster.kubectl("create", "secret", "generic", NAME, "-n", "team-030", "--from-literal=a=b")
    ran = served.run(**ALL)
    assert (ran.exit_code, served.calls, ran.steps) == (1, ["get"], [])
    served.cluster.kubectl("delete", "secret", NAME, "-n", "team-030")
    assert len(ran.problems) == 1
    assert ran.reasons[-1] == "the rest is as it should be"


def test_what_others_add_to_ours_stays_and_is_no_reason_to_write(served: Served) -> None:
    added = json.dumps({"stringData": {"theirs": "x"}, "metadata": {"labels": {"team": "a"}}})
    served.cluster.kubectl("patch", "secret", NAME, "-n", "team-030", "--type=merge", "-p", added)
    ran = served.run(**ALL)
    assert (ran.exit_code, ran.steps) == (0, [])
    found = served.secrets()["team-030"]
    assert found["data"]["theirs"] == "eA=="
    assert found["metadata"]["labels"]["team"] == "a"


def test_a_copy_that_somebody_made_of_ours_stays(served: Served) -> None:
    copy = served.secrets()["team-030"]
    copy["metadata"] = {"name": "copy", "namespace": "kube-system", "labels": copy["metadata"]["labels"]}
    served.cluster.kubectl("create", "-f", "-", stdin=json.dumps(copy))
    ran = served.run(**ALL)
    there = served.secrets("copy")
    served.cluster.kubectl("delete", "secret", "copy", "-n", "kube-system")
    assert (ran.exit_code, ran.steps) == (0, [])
    assert list(there) == ["kube-system"]


def test_what_a_webhook_says_in_many_lines_is_one(served: Served, admission: Cluster) -> None:
    control = admission.control
    pair = admission.authority.server(["127.0.0.1"])
    control.write("/root/hook.pem", pair.certificate + pair.key, "0600")
    control.write("/root/hook.py", REFUSING)
    control.run("systemd-run --unit=hook python3 /root/hook.py")
    admission.apply(hook(served, "team-030", "team-031"))
    control.wait_until(refused_in(served, "team-030"), 60, "the webhook")
    for name in ("team-030", "team-031", "team-032"):
        admission.kubectl("delete", "secret", NAME, "-n", name)
    ran = served.run(**ALL)
    assert ran.exit_code == 1
    (problem,) = ran.problems
    assert (
        f"could not write the pull secret {NAME} in team-030, team-031: "
        f'the admission webhook "hook.example.com" refuses it: resource Secret/team-030/{NAME} was blocked due to the '
        "following policies require-team: check: 'validation error: label team is required. rule check failed at path "
        "/metadata/labels/team/'; "
    ) in problem
    assert {"team-030", "team-031", "team-032"} & set(served.secrets()) == {"team-032"}


def test_a_webhook_that_is_down_is_told(served: Served, admission: Cluster) -> None:
    admission.apply(hook(served, "team-030"))
    admission.control.wait_until(refused_in(served, "team-030"), 60, "the webhook")
    admission.kubectl("delete", "secret", NAME, "-n", "team-030")
    ran = served.run(**ALL)
    assert ran.exit_code == 1
    (problem,) = ran.problems
    assert f"could not write the pull secret {NAME} in team-030: " in problem
    assert 'failed calling webhook "hook.example.com"' in problem
    assert "mend that webhook" in problem


def test_a_policy_that_quotes_what_it_refuses_shows_no_secret(served: Served, admission: Cluster) -> None:
    quoting = "'not here: ' + (has(object.data) ? object.data['.dockerconfigjson'] : '')"
    admission.apply(
        {"apiVersion": ADMISSION, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "quoting"},
         "spec": {"matchConstraints": {"resourceRules": [SECRETS]},
                  "validations": [{"expression": "false", "messageExpression": quoting}]}},
        {"apiVersion": ADMISSION, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "quoting"},
         "spec": {"policyName": "quoting", "validationActions": ["Deny"],
                  "matchResources": {"namespaceSelector": chosen("team-030")}}},
    )  # fmt: skip
    admission.control.wait_until(refused_in(served, "team-030"), 60, "the policy")
    admission.kubectl("delete", "secret", NAME, "-n", "team-030")
    ran = served.run("-y", "-vvv", **ALL)
    assert ran.exit_code == 1
    (problem,) = ran.problems
    assert 'the admission policy "quoting" refuses it: not here: (not shown); ' in problem
    passwords = served.deployment.store.read().passwords
    assert Needles({password: name for name, password in passwords.items()}).within(ran.output) == set()


def test_who_may_read_and_not_write_is_told_which_right_is_missing(served: Served) -> None:
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
    served.cluster.kubectl("delete", "secret", NAME, "-n", "team-030")
    ran = served.run(**ALL, registry_kubeconfig=login)
    assert ran.exit_code == 1
    assert [problem.partition(" (kubectl")[0].partition("; give")[0] for problem in ran.problems] == [
        '[control] the user "reader" may not list configmaps in the whole cluster',
        f"[control] could not write the pull secret {NAME} in team-030: "
        'the user "reader" may not patch secrets there',
    ]
