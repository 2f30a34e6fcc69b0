"""Tags are deleted by rules, and what nothing needs is collected, while clients push and pull."""

from __future__ import annotations

import json
import random
import re
import time
from contextlib import nullcontext
from dataclasses import replace

import pytest

from tasks.storage import trash
from tasks.storage.collection import Times
from tasks.storage.stored import blob_path
from tests.fleet.test_convergence import GATEWAY, REGISTRY
from tests.gateway.collecting import (
    VERBS,
    Clients,
    Kill,
    clients,
    collect,
    get,
    real_clients,
    tags_that_do_not_pull,
    whole,
)
from tests.gateway.gateway import ACCOUNTS, NAME, Gateway, basic
from tests.gateway.pushing import STORED, Client, Image, digest, image

STORAGE = "/var/lib/homelab-registry"
ROOM = "deploys/make_room.py"
RULES = [
    {"repositories": "ci/*", "tags": "pr-*", "keep_last": 1, "keep_days": 14},
    {"repositories": "ci/*", "keep": True},
]
TAGS = f"{STORAGE}{STORED}/repositories/ci/web/_manifests/tags"
TOLD = f"{STORAGE}/{trash.TOLD}"
STARTED = f"docker inspect -f '{{{{.State.StartedAt}}}} {{{{.RestartCount}}}}' {REGISTRY} {GATEWAY}"


def tell_absent(gateway: Gateway, at: float, *digests: str) -> None:
    """Tell these digests to be absent during the thousand seconds that a time belongs to."""
    folder = f"{TOLD}/{int(at // trash.LEASE)}"
    files = " ".join(f"{folder}/{each.removeprefix('sha256:')}" for each in digests)
    gateway.host.run(f"rm -rf {TOLD}; mkdir -p {folder} && touch {files}")


def test_only_who_pushes_is_told_that_something_is_absent(gateway: Gateway) -> None:
    pushed, client = image("told/absent", "v1", 1_000), Client(gateway)
    client.push(pushed)
    client.close()
    manifest, config, layer = digest(pushed.manifest), *(digest(blob) for blob in pushed.blobs)
    repository = f"/v2/{pushed.repository}"
    targets = {
        "told blob": f"{repository}/blobs/{layer}",
        "told manifest": f"{repository}/manifests/{manifest}",
        "another blob": f"{repository}/blobs/{config}",
        "a tag": f"{repository}/manifests/v1",
    }
    callers = {role: gateway.authorization(role) for role in ACCOUNTS} | {"guess": basic("ci", "a-guess")}

    def answers(method: str) -> dict[str, list[int]]:
        accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
        return {
            who: [gateway.request(method, each, login, accept).status for each in targets.values()]
            for who, login in callers.items()
        }

    def mounted(blob: str, into: str, sign: str = ":") -> int:
        asked = f"/v2/{into}/blobs/uploads/?from={pushed.repository}&mount={blob.replace(':', sign)}"
        return gateway.request("POST", asked, callers["push"]).status

    now = time.time()
    tell_absent(gateway, now - trash.LEASE, layer, manifest)
    everything = {"admin": [200] * 4, "push": [200] * 4, "pull": [200] * 4, "guess": [401] * 4}
    assert answers("HEAD") == everything
    tell_absent(gateway, now, layer, manifest)
    told = [404, 404, 200, 200]
    assert answers("HEAD") == everything | {"admin": told, "push": told}
    assert answers("GET") == everything
    assert [mounted(layer, "told/mounted", sign) for sign in (":", "%3A", "%3a")] == [202] * 3
    assert mounted(config, "told/mounted") == 201
    links = f"{STORAGE}{STORED}/repositories/told/mounted/_layers/sha256"
    assert gateway.host.run(f"ls {links}").stdout.split() == [config.removeprefix("sha256:")]
    # Clients go on with an upload.
    copied = gateway.crane("push", f"copy {NAME}/{pushed.repository}:v1 {NAME}/told/copied:v1", check=False)
    assert (copied.exit_code, copied.stderr.count("mounted blob")) == (0, 1), copied
    assert gateway.request("GET", f"/v2/told/copied/blobs/{layer}", callers["pull"]).status == 200
    gateway.host.run(f"rm -rf {TOLD}")


def push_with_docker(gateway: Gateway, tag: str) -> str:
    """Push an image with nothing in it through the host's engine, create a container of it, and return its digest."""
    reference = f"{NAME}/ci/web:{tag}"
    gateway.crane("push", "version")
    gateway.host.run(
        f"echo {tag} > /root/name && tar -C /root -c name | docker import - {reference} && "
        f"docker --config /root/crane-push push -q {reference} && docker create --name uses-{tag} {reference} x"
    )
    return gateway.crane("push", f"digest {reference}").stdout.strip()


def tags(gateway: Gateway) -> set[str]:
    return set(gateway.crane("push", f"ls {NAME}/ci/web").stdout.split())


def blobs(gateway: Gateway, pushed: Image) -> list[bool]:
    """Return whether the data of each blob of an image, and of its manifest, is there."""
    paths = [blob_path(digest(each)) for each in (*pushed.blobs, pushed.manifest)]
    script = f'cd {STORAGE}{STORED} && for each in {" ".join(paths)}; do [ -e "$each" ]; echo $?; done'
    return [line == "0" for line in gateway.host.run(script).stdout.split()]


def test_rules_delete_tags_one_by_one_and_what_a_container_uses_stays(gateway: Gateway) -> None:
    """What is free then is collected, given back if it is needed after all, and deleted after its days in the trash."""
    host = f"@docker/{gateway.host.name}"
    own = {"registry_state_dir": str(gateway.deployment.store.folder), **gateway.source}
    gateway.deployment.set(
        **own, registry_retention=RULES, registry_untagged_days=0, registry_gc_grace_minutes=0
    )
    used = push_with_docker(gateway, "pr-used")
    moved = push_with_docker(gateway, "pr-moved")
    client = Client(gateway)
    twin = image("ci/web", "pr-1", 20_000)
    for each in (
        twin,
        replace(twin, tag="release"),
        image("ci/web", "pr-moved", 10_000),
        image("ci/web", "pr-new", 500),
    ):
        client.push(each)
    old = image("ci/web", "pr-2", 30_000)
    client.push(old)
    gateway.host.run(
        f"touch -d '63 days ago' {TAGS}/pr-[12um]*/current/link; cp -a {TAGS}/pr-2 /root; cd {STORAGE}{STORED};"
        "find blobs repositories/ci/web/_layers repositories/ci/web/_manifests/revisions -type f "
        "-exec touch -d '1 day ago' {} +"
    )
    started = gateway.host.run(STARTED).stdout

    planned = gateway.deployment.run("--dry", deploy=ROOM)
    assert planned.exit_code == 0, planned.output
    assert tags(gateway) == {"pr-1", "pr-2", "pr-moved", "pr-new", "pr-used", "release"}
    ran = gateway.deployment.run(deploy=ROOM)
    assert ran.exit_code == 0, ran.output
    why = "1 newer tag matches, pushed 63 days ago, nothing runs it"
    told, *deleted = [re.sub(r" \([\d.]+ s\)$", "", line) for line in planned.steps_on(host)]
    assert told == "write shown/about.json of the web page: its content is not as it should be"
    assert deleted[:2] == [
        f"delete ci/web:pr-1: {why}",
        f"delete ci/web:pr-2: {why}; frees 30.5 kB",
    ]
    assert re.search(r"[\d.]+ [kM]B that nothing needs goes into the trash for 1 day", ran.output)
    assert blobs(gateway, old) == [False] * 3
    assert blobs(gateway, twin) == [True] * 3
    for output in (planned.output, ran.output):
        for tag in ("used", "moved"):
            assert f"keep ci/web:pr-{tag}: used by container uses-pr-{tag} on {host}" in output
        assert ", 2 only because of their use; hosts that are not in the inventory are not asked" in output
    assert tags(gateway) == {"pr-moved", "pr-new", "pr-used", "release"}
    shown = json.loads(get(client, "/web/index.json"))
    page = shown["repositories"]["ci/web"]
    assert (shown["uses_known"], set(page["tags"])) == (True, tags(gateway))
    assert page["images"][page["tags"]["pr-used"][0]][3] == [f"container uses-pr-used on {host}"]
    for reference in (digest(twin.manifest), "release", used, moved):
        assert gateway.crane(
            "push", f"manifest {NAME}/ci/web{'@' if ':' in reference else ':'}{reference}"
        ).stdout

    emptied = f"{STORAGE}/{trash.FOLDER}/trash/1000/{blob_path('sha256:' + 64 * 'a')}"
    gateway.host.run(
        f"mkdir -p {emptied.rpartition('/')[0]} && head -c 2000000 /dev/zero > {emptied};"
        f"cp -r /root/pr-2 {TAGS} && chown -R --reference={TAGS} {TAGS}/pr-2"
    )
    back = gateway.deployment.run(deploy=ROOM)
    assert back.exit_code == 0, back.output
    assert re.search(r"give back \d+ files from the trash: they are needed after all", back.output)
    assert "empty the trash, which frees 2 MB" in back.output
    assert whole(client, "ci/web", digest(get(client, "/v2/ci/web/manifests/pr-2"))) == ""
    assert gateway.host.run(f"test -e {emptied}", check=False).exit_code == 1
    again = gateway.deployment.run(deploy=ROOM)
    assert (again.exit_code, again.steps) == (0, []), again.output
    assert gateway.host.run(STARTED).stdout == started
    client.close()


@pytest.mark.parametrize("gateway", ["2.8", pytest.param("3.1", marks=pytest.mark.soak)], indirect=True)
def test_nothing_that_is_needed_is_collected_beside_pushes(gateway: Gateway, soak: bool) -> None:
    """Each other collection is killed after some step. With `--soak` as many pushes run alone first, to compare."""
    started = gateway.host.run(STARTED).stdout
    pushes, collections, seen = (1000, 20, 6) if soak else (50, 2, 3)
    times, rng = Times(grace=0, trash=0, under_way=seen), random.Random(gateway.version)  # noqa: S311
    deleted: list[int | None] = []
    if soak:
        gateway.host.run("apt-get update -q && apt-get install -q -y --no-install-recommends skopeo")
        with clients(gateway, "alone", seen) as alone:
            wait_for_pushes(alone, pushes)
        tell(gateway, "alone", alone)
    others = real_clients(gateway, "beside", 15) if soak else nullcontext(list[str]())
    with clients(gateway, "beside", seen) as beside, others as real:
        wait_for_pushes(beside, pushes // 5)
        while len(deleted) < collections or beside.count["pushes"] < pushes:
            # A run that has no such line is not killed.
            deleted.append(collect(gateway, times, seen, Kill(VERBS[len(deleted) // 2 % len(VERBS)], rng)))
            deleted.append(collect(gateway, times, seen))
    tell(
        gateway,
        f"beside {len(deleted)} collections, which deleted {deleted} (None: killed), and {len(real)} rounds of clients",
        beside,
    )
    time.sleep(seen)
    assert (collect(gateway, times, seen) or 0) + sum(each or 0 for each in deleted) > 0
    assert tags_that_do_not_pull(gateway, "beside")[1] == []
    assert [line for line in real if not line.startswith("round ")] == []
    assert beside.broken == []
    assert [each for each in beside.failed if " 507 " not in each] == []
    assert len(beside.failed) <= beside.count["pushes"] / 100 + 1
    assert gateway.host.run(STARTED).stdout == started


def wait_for_pushes(load: Clients, number: int) -> None:
    end = time.monotonic() + 900
    while load.count["pushes"] < number:
        assert time.monotonic() < end, load
        time.sleep(0.1)


def tell(gateway: Gateway, what: str, load: Clients) -> None:
    print(
        f"{gateway.version}, {what}: {dict(load.count)}; pushes failed: {load.failed}; late: {load.late}; pulls failed: {load.broken}; "
        f"tags that pull, and others: {tags_that_do_not_pull(gateway, load.name)}"
    )
