"""What kubectl's errors mean, and which changes they are about."""

from __future__ import annotations

import pytest

from tasks.cluster_control import kubectl_errors
from tasks.cluster_control.plan import Change
from tasks.cluster_control.pull_secrets import Ref
from tests.unit.cluster_control.test_plan import NAME, of

FORBIDDEN = 'Error from server (Forbidden): {0} is forbidden: User "u" cannot list resource "{0}" in API group "" at the cluster scope'


@pytest.mark.parametrize(
    ("said", "problem"),
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
            "the API server does not know the user of kubectl's configuration",
        ),
        ([], "kubectl could not read the cluster: it ended without a word"),
    ],
)
def test_why_nothing_could_be_read(said: list[str], problem: str) -> None:
    assert kubectl_errors.unread(said, "").problem == problem
    assert kubectl_errors.unread(said, "/c").problem == f"{problem} (kubectl's configuration is /c)"


def test_complaints_are_one_line_each_without_kubectls_advice() -> None:
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
    assert kubectl_errors.complaints(text.splitlines()) == [
        'Operation cannot be fulfilled on serviceaccounts "default": the object has been modified',
        'Error from server (NotFound): namespaces "a" not found',
    ]


def test_what_a_webhook_says_is_one_complaint_however_many_lines_it_has() -> None:
    text = (
        'Error from server: admission webhook "validate.kyverno.svc-fail" denied the request: \n\n'
        "resource Secret/a/x was blocked due to the following policies \n\nrequire-labels:\n"
        "  check-team: 'validation error: rule check-team failed at path\n    /metadata/labels/team/'\n\n"
        'Error from server (NotFound): namespaces "b" not found\nexit|1\n'
    )
    first, second = kubectl_errors.complaints(text.splitlines())
    assert second == 'Error from server (NotFound): namespaces "b" not found'
    assert kubectl_errors.refused(first)[0] == (
        'the admission webhook "validate.kyverno.svc-fail" refuses it: resource Secret/a/x was blocked due to the '
        "following policies require-labels: check-team: 'validation error: rule check-team failed at path "
        "/metadata/labels/team/'"
    )


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        ([], []),
        (["exit|137"], ["it ended without a word (137)"]),
        (["exit|124"], ["it took too long"]),
        (["error: x", "exit|1"], ["error: x"]),
    ],
)
def test_a_call_that_ends_without_a_word_has_not_gone_well(printed: list[str], expected: list[str]) -> None:
    assert kubectl_errors.complaints(printed) == expected


def changes(*refs: Ref) -> list[Change]:
    return [Change(ref, f"write {ref.kind} in", "it is missing", {}) for ref in refs]


def test_refusals_are_told_once_for_all_namespaces_and_conflicts_are_tried_again() -> None:
    a, b = of("Secret", "a", NAME), of("Secret", "b", NAME)
    account = of("ServiceAccount", "b", "default")
    denied = 'secrets "registry-credentials" is forbidden: User "x" cannot patch resource "secrets" in API group "" in'
    problems, again = kubectl_errors.blamed(
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


def test_what_names_its_namespace_is_told_once_for_all_of_them() -> None:
    said = 'Error from server: admission webhook "w" denied the request: Secret/{0}/x was blocked in {0}'
    problems, again = kubectl_errors.blamed(
        changes(of("Secret", "apps", "x"), of("Secret", "blocks", "x")),
        [said.format("apps"), said.format("blocks")],
    )
    assert [problem for problem, _ in problems] == [
        'could not write Secret in apps, blocks: the admission webhook "w" refuses it: Secret/apps/x was blocked in apps'
    ]
    assert again == set()


def test_what_was_not_complained_of_and_differs_all_the_same_is_tried_again() -> None:
    a = of("Secret", "a", NAME)
    assert kubectl_errors.blamed(changes(a), []) == ([], {a})


def test_a_complaint_about_what_is_mended_since_is_none() -> None:
    assert kubectl_errors.blamed([], ['Error from server (NotFound): namespaces "a" not found']) == (
        [],
        set(),
    )
