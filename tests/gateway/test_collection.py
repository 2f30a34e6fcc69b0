"""Tags are deleted by rules, and what nothing needs is collected, while clients push and pull."""

from __future__ import annotations

import re
import time
from dataclasses import replace

from tasks.storage import trash
from tests.gateway.gateway import ACCOUNTS, NAME, Gateway, basic
from tests.gateway.pushing import STORED, Client, digest, image

STORAGE = "/var/lib/homelab-registry"
ROOM = "deploys/make_room.py"
RULES = [
    {"repositories": "ci/*", "tags": "pr-*", "keep_last": 1, "keep_days": 14},
    {"repositories": "ci/*", "keep": True},
]
TAGS = f"{STORAGE}{STORED}/repositories/ci/web/_manifests/tags"
TOLD = f"{STORAGE}/{trash.TOLD}"


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


def test_rules_delete_tags_one_by_one_and_what_a_container_uses_stays(gateway: Gateway) -> None:
    host = f"@docker/{gateway.host.name}"
    own = {"registry_state_dir": str(gateway.deployment.store.folder), **gateway.source}
    gateway.deployment.set(**own, registry_retention=RULES)
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
    client.push(image("ci/web", "pr-2", 30_000))
    gateway.host.run(f"touch -d '63 days ago' {TAGS}/pr-[12um]*/current/link")

    planned = gateway.deployment.run("--dry", deploy=ROOM)
    assert planned.exit_code == 0, planned.output
    assert tags(gateway) == {"pr-1", "pr-2", "pr-moved", "pr-new", "pr-used", "release"}
    ran = gateway.deployment.run(deploy=ROOM)
    assert ran.exit_code == 0, ran.output
    why = "1 newer tag matches, pushed 63 days ago, nothing runs it"
    assert [re.sub(r" \([\d.]+ s\)$", "", line) for line in planned.steps_on(host)] == [
        f"delete ci/web:pr-1: {why}",
        f"delete ci/web:pr-2: {why}; frees 30.5 kB",
    ]
    assert len(ran.steps_on(host)) == 2
    for output in (planned.output, ran.output):
        for tag in ("used", "moved"):
            assert f"keep ci/web:pr-{tag}: used by container uses-pr-{tag} on {host}" in output
        assert ", 2 only because of their use; hosts that are not in the inventory are not asked" in output
    assert tags(gateway) == {"pr-moved", "pr-new", "pr-used", "release"}
    for reference in (digest(twin.manifest), "release", used, moved):
        assert gateway.crane(
            "push", f"manifest {NAME}/ci/web{'@' if ':' in reference else ':'}{reference}"
        ).stdout
    again = gateway.deployment.run(deploy=ROOM)
    assert (again.exit_code, again.steps) == (0, []), again.output
    client.close()
