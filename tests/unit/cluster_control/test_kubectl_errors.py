"""What kubectl's errors mean, and which changes they are about."""

from __future__ import annotations

import pytest

from tasks.cluster_control import kubectl_errors
from tasks.cluster_control.plan import Change, NamespaceProblem
from tasks.cluster_control.pull_secrets import Ref
from tests.unit.cluster_control.test_plan import NAME, ref_of

FORBIDDEN = 'Error from server (Forbidden): {0} is forbidden: User "u" cannot list resource "{0}" in API group "" at the cluster scope'


@pytest.mark.parametrize(
    ("errors", "problem"),
    [
        (
            [FORBIDDEN.format("secrets"), FORBIDDEN.format("nodes")],
            'the user "u" may not list secrets, nodes in the whole cluster',
        ),
        (
            [
                "The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?"
            ],
            "the API server at 127.0.0.1:6443 does not answer: connection refused",
        ),
        (
            ["Unable to connect to the server: net/http: TLS handshake timeout"],
            "the API server does not answer: net/http: TLS handshake timeout",
        ),
        (
            ["Error in configuration: context was not found for specified context: nope"],
            "context was not found for specified context: nope",
        ),
        (
            ["error: You must be logged in to the server (Unauthorized)"],
            "the API server rejects the credentials in kubectl's configuration",
        ),
        ([], "kubectl could not read the cluster: it ended without a message"),
    ],
)
def test_why_the_cluster_could_not_be_read(errors: list[str], problem: str) -> None:
    assert kubectl_errors.read_conflict(errors, "").problem == problem
    assert kubectl_errors.read_conflict(errors, "/c").problem == f"{problem} (kubectl's configuration is /c)"


def test_errors_are_one_line_each_without_kubectls_advice() -> None:
    text = (
        'Operation cannot be fulfilled on serviceaccounts "default": the object has been modified\n'
        "Please review the fields above--they currently have other managers. Here\n"
        "* You may co-own fields\n"
        "See https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts\n"
        "Warning: something\n"
        'E1127 07:03:01.353971   16050 memcache.go:265] "Unhandled Error"\n'
        'Error from server (NotFound): namespaces "a" not found\n'
        "exit|1\n"
    )
    assert kubectl_errors.read_errors(text.splitlines()) == [
        'Operation cannot be fulfilled on serviceaccounts "default": the object has been modified',
        'Error from server (NotFound): namespaces "a" not found',
    ]


def test_a_webhooks_message_is_one_error_however_many_lines_it_has() -> None:
    text = (
        'Error from server: admission webhook "validate.kyverno.svc-fail" denied the request: \n\n'
        "resource Secret/a/x was blocked due to the following policies \n\nrequire-labels:\n"
        "  check-team: 'validation error: rule check-team failed at path\n    /metadata/labels/team/'\n\n"
        'Error from server (NotFound): namespaces "b" not found\nexit|1\n'
    )
    first, second = kubectl_errors.read_errors(text.splitlines())
    assert second == 'Error from server (NotFound): namespaces "b" not found'
    assert kubectl_errors.explain_refusal(first)[0] == (
        'the admission webhook "validate.kyverno.svc-fail" refuses it: resource Secret/a/x was blocked due to the '
        "following policies require-labels: check-team: 'validation error: rule check-team failed at path "
        "/metadata/labels/team/'"
    )


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ([], []),
        (["exit|137"], ["kubectl ended without a message (exit code 137)"]),
        (["exit|124"], ["kubectl took too long"]),
        (["error: x", "exit|1"], ["error: x"]),
    ],
)
def test_a_call_that_fails_without_a_message_is_an_error(printed: list[str], expected: list[str]) -> None:
    assert kubectl_errors.read_errors(printed) == expected


def changes(*refs: Ref) -> list[Change]:
    return [Change(ref, f"write {ref.kind} in", "it is missing", {}) for ref in refs]


def test_a_refusal_is_one_line_for_all_namespaces_and_a_conflict_is_tried_again() -> None:
    a, b = ref_of("Secret", "a", NAME), ref_of("Secret", "b", NAME)
    account = ref_of("ServiceAccount", "b", "default")
    denied = 'secrets "registry-credentials" is forbidden: User "x" cannot patch resource "secrets" in API group "" in'
    problems, again = kubectl_errors.match_errors(
        changes(a, b, account),
        [
            f'Error from server (Forbidden): {denied} the namespace "b"',
            f'Error from server (Forbidden): {denied} the namespace "a"',
            'Operation cannot be fulfilled on serviceaccounts "default": the object has been modified; please apply',
        ],
    )
    assert problems == [
        (
            'could not write Secret in b, a: the user "x" may not patch secrets there',
            "give it the rights that docs/how-it-works.md lists and run again",
        )
    ]
    assert again == {account}


def test_a_refusal_that_names_its_namespace_is_one_line_for_all_of_them() -> None:
    said = 'Error from server: admission webhook "w" denied the request: Secret/{0}/x was blocked in {0}'
    problems, again = kubectl_errors.match_errors(
        changes(ref_of("Secret", "apps", "x"), ref_of("Secret", "blocks", "x")),
        [said.format("apps"), said.format("blocks")],
    )
    assert [problem for problem, _ in problems] == [
        'could not write Secret in apps, blocks: the admission webhook "w" refuses it: Secret/apps/x was blocked in apps'
    ]
    assert again == set()


def test_a_change_that_is_due_again_without_an_error_is_tried_again() -> None:
    a = ref_of("Secret", "a", NAME)
    assert kubectl_errors.match_errors(changes(a), []) == ([], {a})


def test_an_error_about_a_change_that_is_no_longer_due_is_ignored() -> None:
    assert kubectl_errors.match_errors([], ['Error from server (NotFound): namespaces "a" not found']) == (
        [],
        set(),
    )


@pytest.mark.parametrize(
    ("kind", "error", "local"),
    [
        ("Secret", 'Error from server (Forbidden): secrets "x" is forbidden: User "u" cannot patch resource "secrets" '
         'in API group "" in the namespace "a"', False),
        ("Secret", 'Error from server: admission webhook "w" denied the request: immutable', False),
        ("Secret", 'Error from server (InternalError): failed calling webhook "w": timeout', False),
        ("Secret", "Error from server: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no", False),
        ("Secret", "Error from server: etcdserver: request timed out", False),
        ("Secret", 'Error from server (Invalid): Secret "x" is invalid: data: Forbidden: field is immutable', True),
        ("Secret", 'Error from server (Forbidden): secrets "x" is forbidden: exceeded quota: q', True),
        ("Secret", 'Error from server (Forbidden): unable to create new content in namespace a because it is being '
         "terminated: is being terminated", True),
        ("Secret", 'Error from server (NotFound): namespaces "a" not found', True),
        ("ServiceAccount", "Error from server: etcdserver: request timed out", True),
    ],
)  # fmt: skip
def test_which_refusals_a_rotation_waits_for(kind: str, error: str, local: bool) -> None:
    """Not for those that whoever may edit the namespace can cause, nor for accounts, which hold no password."""
    ((found,), _) = kubectl_errors.match_errors(changes(ref_of(kind, "a", "x")), [error])
    assert isinstance(found, NamespaceProblem) is local
