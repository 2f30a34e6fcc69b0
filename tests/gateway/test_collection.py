"""Blobs and manifests that nothing needs are collected while clients push and pull."""

from __future__ import annotations

import time

from tasks.storage import trash
from tests.gateway.gateway import ACCOUNTS, NAME, Gateway, basic
from tests.gateway.pushing import STORED, Client, digest, image

STORAGE = "/var/lib/homelab-registry"
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
