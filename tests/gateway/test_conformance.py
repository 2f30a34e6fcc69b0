"""The conformance suite of the OCI distribution specification: the gateway costs the registry not one result."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

import pytest

from tasks.storage.faults import faults
from tasks.storage.graph import Graph
from tests.bench import programs
from tests.bench.hosts import BenchHost
from tests.gateway.gateway import ACCOUNTS, NAME, Gateway
from tests.gateway.pushing import MANIFEST, Client, Image, digest, image
from tests.gateway.stored import Api, own_garbage, read

BARE = "127.0.0.1:5002"
BARE_HEALTH = "127.0.0.1:5003"


@dataclass(frozen=True)
class Figures:
    """The suite's own count of what it asserted; a test may assert more than one thing."""

    asserted: int
    passed: int
    failed: int


@dataclass(frozen=True)
class Results:
    """A run of the suite: what each test came to by its name; those of one name, as one for each blob, the best first."""

    figures: Figures
    by_name: Mapping[str, list[str]]


BEST_FIRST = ("passed", "skipped", "failure", "error")
"""What a test may come to. The suite skips what the registry says that it does not support."""

REQUESTED = {
    "common": {"OCI_VERSION": "1.0"}
    | {
        f"OCI_DATA_{name}": "false"
        for name in ("SHA512", "SUBJECT", "SUBJECT_MISSING", "SUBJECT_LIST", "NONDISTRIBUTABLE")
    },
    "everything": {"OCI_VERSION": "dev", "OCI_DATA_SPARSE": "true"},
}
"""Version 1.0 without what distribution lacks; and all that the suite can ask for, with headers that are optional."""

FIGURES = {
    ("2.8", "common"): Figures(512, passed=477, failed=6),
    ("2.8", "everything"): Figures(1032, passed=805, failed=166),
    ("3.1", "common"): Figures(516, passed=511, failed=0),
    ("3.1", "everything"): Figures(1036, passed=855, failed=156),
}
"""What the registry alone comes to, by its version and what is asked. The rest is skipped or switched off."""


MORE_PASSED = {"2.8": 2, "3.1": 0}
"""How many more pass through the gateway: a range beyond a blob's end is refused properly there."""


@pytest.fixture(scope="module")
def host(gateway: Gateway) -> BenchHost:
    """The registry's host, with the suite and a bare registry.

    That has the same image and the same configuration, but for where it listens and stores.
    """
    host = gateway.host
    host.give(programs.CONFORMANCE)
    host.run(
        "cp -a /etc/homelab-registry/registry /root/bare && install -d -o 60706 -g 60706 /root/bare-storage"
    )
    config = host.read("/root/bare/config.yml")
    for ours, bare in (
        ("net: unix\n  addr: /run/registry/registry.sock", f"addr: {BARE}"),
        ("addr: 127.0.0.1:5001", f"addr: {BARE_HEALTH}"),
    ):
        assert config.count(ours) == 1, ours
        config = config.replace(ours, bare)
    host.write("/root/bare/config.yml", config)
    host.run(
        "docker run -d --name bare --network host --user 60706:60706 --env OTEL_TRACES_EXPORTER=none "
        "-v /root/bare:/etc/registry:ro -v /root/bare-storage:/var/lib/registry --entrypoint registry "
        "$(docker inspect -f '{{.Image}}' homelab-registry) serve /etc/registry/config.yml"
    )
    host.wait_until(f"docker exec bare wget -q -O /dev/null http://{BARE_HEALTH}/debug/health", 30, "bare")
    return host


@pytest.mark.parametrize("asked", REQUESTED)
def test_no_result_is_worse_than_the_registry_s_own(gateway: Gateway, host: BenchHost, asked: str) -> None:
    login = {"OCI_USERNAME": ACCOUNTS["admin"], "OCI_PASSWORD": gateway.password("admin"), **REQUESTED[asked]}
    trust = {"SSL_CERT_FILE": f"/etc/docker/certs.d/{NAME}/ca.crt"}
    alone = run(host, {"OCI_REGISTRY": BARE, "OCI_TLS": "disabled", **login})
    through = run(host, {"OCI_REGISTRY": NAME, "OCI_TLS": "enabled", **login, **trust})
    assert worse_results(alone, through) == {}
    assert alone.figures == FIGURES[gateway.version, asked]
    better = MORE_PASSED[gateway.version]
    assert through.figures == Figures(
        alone.figures.asserted, alone.figures.passed + better, alone.figures.failed - better
    )


def test_what_is_stored_is_what_the_registry_says(gateway: Gateway, host: BenchHost) -> None:
    """Of all that the suite left, and of pushes as clients make them."""
    one, two, other = (image(f"stored/{name}", "v1", 50_000) for name in ("one", "one/two", "other"))
    push_of_each_kind(gateway, one, two, other)
    stored, api = read(gateway), Api(gateway)
    graph, wrong = Graph(stored), faults(stored)
    assert stored.problems == ()
    assert set(api.repositories()) <= stored.repositories.keys()
    assert {name: sorted(each.tags) for name, each in stored.repositories.items()} == {
        name: api.tags(name) for name in stored.repositories
    }
    for tag in stored.tags:
        assert tag.digest == api.digest(tag.repository, tag.name), tag
        size = api.size(tag.repository, tag.name)
        assert (tag in wrong) == (size is None), (tag, wrong.get(tag))
        assert size == graph.size(tag) or (tag.repository, tag.name) != (one.repository, one.tag)
    revisions = frozenset(
        (name, each) for name, found in stored.repositories.items() for each in found.manifests
    )
    unreferenced, garbage = Graph(stored, revisions).unreferenced, own_garbage(gateway)
    assert unreferenced <= garbage <= unreferenced | set(stored.aliases.values()) | only_named(graph)

    (pushed_again,) = (tag for tag in stored.tags if (tag.repository, tag.name) == (one.repository, one.tag))
    layer, manifest = digest(one.blobs[1]), digest(one.manifest)
    assert stored.blobs[manifest].written < max(pushed_again.former.values()) <= pushed_again.pushed
    assert stored.blobs[layer].written < graph.linked[layer]

    (deleted,) = stored.repositories[two.repository].tags.values()
    freed = sum(graph.freed([deleted]))
    reference = f"@{deleted.digest}" if gateway.version == "2.8" else ":v1"  # 2.8 deletes by digest only
    gateway.crane("admin", f"delete {NAME}/{two.repository}{reference}")
    after = Graph(read(gateway))
    assert freed == after.stored.size(after.unreferenced - graph.unreferenced) > 50_000


def push_of_each_kind(gateway: Gateway, one: Image, two: Image, other: Image) -> None:
    """Push these, an index, a twin, something attached to `two`, what is mounted; and a second later `one` again."""
    client = Client(gateway)
    for each in (one, two, other):
        client.push(each)
    names = [f"{NAME}/{each.repository}:{each.tag}" for each in (one, other)]
    gateway.crane("push", f"copy {names[1]} {NAME}/{one.repository}:other")  # mounts its blobs
    gateway.crane("push", f"index append -m {names[0]} -m {names[1]} -t {NAME}/{one.repository}:both")
    gateway.crane("push", f"tag {NAME}/{one.repository}:both latest")
    subject = {"mediaType": MANIFEST, "digest": digest(two.manifest), "size": len(two.manifest)}
    attached = json.dumps(json.loads(two.manifest) | {"subject": subject}).encode()
    target = f"/v2/{two.repository}/manifests/{digest(attached)}"
    client.ask("PUT of what is attached", "PUT", target, 201, attached, MANIFEST)
    gateway.host.wait_until(f"[ $(date +%s) -gt {read(gateway).read_at} ]", 5, "the next second")
    client.blob(one.repository, one.blobs[1])
    client.manifest(one)
    client.close()


def only_named(graph: Graph) -> frozenset[str]:
    """Return what is kept because a manifest names it where distribution's own collection does not look."""
    named = (
        found.names - found.children.keys() - found.layers.keys() for found in graph.stored.manifests.values()
    )
    return graph.closure("", frozenset[str]().union(*named))


def run(host: BenchHost, environment: Mapping[str, str]) -> Results:
    """Run the suite in repositories of its own. In others 2.8 would list the tags that an earlier run left."""
    new = secrets.token_hex(4)
    given = {"OCI_RESULTS_DIR": f"/root/{new}", "OCI_REPO1": f"{new}/one", "OCI_REPO2": f"{new}/two"}
    host.run("conformance", check=False, environment={**given, **environment})
    report = host.read(f"/root/{new}/junit.xml")
    suite = ElementTree.fromstring(report).find("testsuite")  # noqa: S314 - of a program of our own
    assert suite is not None
    tests, failed, *rest = (
        int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "disabled", "skipped")
    )
    by_name: dict[str, list[str]] = {}
    for case in suite.iter("testcase"):
        by_name.setdefault(case.attrib["name"], []).append(case.attrib["status"])
    return Results(
        Figures(tests, tests - failed - sum(rest), failed),
        {name: sorted(each, key=BEST_FIRST.index) for name, each in by_name.items()},
    )


def worse_results(alone: Results, through: Results) -> dict[str, tuple[list[str], list[str]]]:
    """Return which tests came out worse through the gateway, or are missing there: (alone, through) by name."""
    pairs = {name: (each, through.by_name.get(name, [])) for name, each in alone.by_name.items()}
    return {
        name: (one, other)
        for name, (one, other) in pairs.items()
        if len(one) != len(other)
        or any(BEST_FIRST.index(a) < BEST_FIRST.index(b) for a, b in zip(one, other, strict=True))
    }
