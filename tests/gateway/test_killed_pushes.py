"""Nothing that was acknowledged is lost if a process is killed, a container is recreated, or a client disconnects."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest

from tests.fleet.test_convergence import GATEWAY, REGISTRY, RESTARTS, recreate_step
from tests.gateway.gateway import NAME, Answer, Gateway
from tests.gateway.pushing import (
    STORED,
    Client,
    Image,
    PushLog,
    RefusedError,
    digest,
    image,
    mismatched_blobs,
    missing_or_wrong,
    path_and_query,
    push,
    repair_manifests,
)
from tests.gateway.replacing import FORMER_LAYOUT, RUN, SlowLayer, load, sockets

STORAGE = "/var/lib/homelab-registry"
LATEST = "latest"
CHANGE = f"docker update --restart no {REGISTRY}"
REPLACED = recreate_step(REGISTRY, RESTARTS)
PUSHES = 50


def images(named: str) -> list[Image]:
    """Make fifty images in ten repositories, with one common layer and none to three of their own, so that some end early."""
    (shared,) = image("shared", named, 40_000).blobs[1:]
    made = [
        image(f"{named}/{number % 10}", f"v{number}", *[60_000] * (number % 4)) for number in range(PUSHES)
    ]
    return [replace(each, blobs=(*each.blobs, shared)) for each in made]


def push_and_overwrite(gateway: Gateway, log: PushLog, each: Image) -> str:
    """Push an image, and then to a tag that other images of its repository get at the same time."""
    return push(gateway, each, log) or push(gateway, replace(each, tag=LATEST), log)


@pytest.mark.parametrize("process", [REGISTRY, GATEWAY])
def test_acknowledged_data_survives_a_kill(gateway: Gateway, process: str, soak: bool) -> None:
    for number, at in enumerate(range(6, 126, 6) if soak else (90,)):  # of 133 blobs
        kill_while_pushing(gateway, process, number, at)


def kill_while_pushing(gateway: Gateway, process: str, number: int, at: int) -> None:
    """Kill the container's process once `at` blobs are acknowledged, and check that all acknowledged data exists."""
    log, pushed = PushLog(), images(f"{process}-{number}")
    push_all = partial(push_and_overwrite, gateway, log)
    with ThreadPoolExecutor(PUSHES) as pool:
        results = pool.map(push_all, pushed)
        with log.changed:
            assert log.changed.wait_for(lambda: len(log.blobs) >= at and log.under_way, 120)
        took = kill(gateway, process)
        failed = [result for result in results if result]
    assert failed, "no push was interrupted"
    counts = f"{len(log.blobs)} blobs and {len(log.manifests)} manifests"
    assert_nothing_lost(gateway, log, pushed, killed=process == REGISTRY)

    with ThreadPoolExecutor(PUSHES) as pool:
        again = [(each, why) for each, why in zip(pushed, pool.map(push_all, pushed), strict=True) if why]
    # While one client's upload has 2.8 write the link of a common layer again, others find it empty.
    assert [why for _, why in again if gateway.version != "2.8" or '"DIGEST_INVALID"' not in why] == []
    assert [push_all(each) for each, _ in again] == [""] * len(again)
    assert len(log.manifests) == PUSHES
    assert_nothing_lost(gateway, log, pushed, killed=False)
    for each in pushed[:2]:
        found = gateway.crane("pull", f"manifest {NAME}/{each.repository}:{each.tag} | sha256sum").stdout
        assert f"sha256:{found.split()[0]}" == digest(each.manifest)
    print(
        f"{gateway.version}, {process} killed at {at} blobs: {counts} acknowledged and present; "
        f"{len(failed)} of {PUSHES} pushes repeated, {len(again)} twice; back after {took:.1f} s"
    )


def assert_nothing_lost(gateway: Gateway, log: PushLog, pushed: list[Image], *, killed: bool) -> None:
    """Check that everything that was acknowledged exists, and repair what was not.

    A tag that many clients overwrite must name one of the manifests pushed to it. 2.8 empties a file before it writes
    it, and writes links again that are there: of a tag, of a manifest that gets another tag, of a layer that two clients
    push (distribution 2.8.2, registry/storage/linkedblobstore.go, linkBlob). If it was `killed`, those that it was
    writing just then can be lost until they are pushed again; so only all others are checked.
    """
    torn = log.unanswered if killed and gateway.version == "2.8" else set()
    shared = {key: log.tags[key] for key in log.tags if key[1] == LATEST}
    tags = {key: each for key, each in log.tags.items() if key not in shared and (key[0], each) not in torn}
    assert missing_or_wrong(gateway, PushLog(log.blobs - torn, log.manifests - torn, tags)) == []
    known = {each for _, each in log.manifests}
    refused = {digest(each.manifest) for each in pushed} - known
    assert refused.issuperset(repair_manifests(gateway, STORAGE))
    for repository, tag in () if killed and gateway.version == "2.8" else shared:
        named = gateway.crane("pull", f"digest {NAME}/{repository}:{tag}").stdout.strip()
        assert named in {digest(each.manifest) for each in pushed if each.repository == repository}


def kill(gateway: Gateway, container: str) -> float:
    """Kill a container's process (SIGKILL); return after how many seconds it answers again."""
    form = "{{.RestartCount}} {{.State.Pid}}"
    before = gateway.host.run(
        f"set -- $(docker inspect -f '{form}' {container}) && kill -9 $2 && echo $1"
    ).stdout.strip()
    began = time.monotonic()
    restarted = f"[ $(docker inspect -f '{{{{.RestartCount}}}}' {container}) -gt {before} ]"
    gateway.host.wait_until(restarted, 90, f"a new process of {container}")
    wait_for(gateway, lambda answer: answer.status == 200)
    return time.monotonic() - began


def wait_for(gateway: Gateway, wanted: Callable[[Answer], bool], seconds: float = 60) -> list[Answer]:
    """Send requests until an answer is as wanted; return all answers. Failed connections are retried."""
    end = time.monotonic() + seconds
    seen: list[Answer] = []
    while time.monotonic() < end:
        try:
            seen.append(gateway.request("GET", "/v2/", gateway.authorization("pull")))
        except OSError:
            time.sleep(0.05)
            continue
        if wanted(seen[-1]):
            return seen
    raise AssertionError(f"not after {seconds} s: {seen[-1:]}")


def test_docker_and_crane_recover_from_a_kill(gateway: Gateway, soak: bool) -> None:
    """Docker recovers by itself, as it tries five times; crane gives up earlier, and may have to be called again."""
    for process in (REGISTRY, GATEWAY) if soak else (REGISTRY,):
        kill_while_clients_push(gateway, process)


def kill_while_clients_push(gateway: Gateway, process: str) -> None:
    name = f"clients-of-{process}"
    gateway.host.run(f"cd /tmp && head -c 40000000 /dev/urandom > {name} && tar cf {name}.tar {name}")
    gateway.host.run(f"docker import /tmp/{name}.tar {NAME}/{name}/docker:v1")
    gateway.crane("push", "version")
    append = f"append --new_layer /tmp/{name}.tar --new_tag {NAME}/{name}/crane:v1"
    with ThreadPoolExecutor(2) as pool:
        docker = pool.submit(
            gateway.host.run, f"docker --config /root/crane-push push {NAME}/{name}/docker:v1", check=False
        )
        crane = pool.submit(gateway.crane, "push", append, check=False)
        # Wait for the first upload of either; the other may begin before, during or after the outage.
        uploads = f"{STORAGE}/docker/registry/v2/repositories/{name}/*/_uploads"
        gateway.host.wait_until(f"find {uploads} -name data -size +0 | grep -q .", 60, "an upload")
        took = kill(gateway, process)
    print(
        f"{gateway.version}, {process} killed: docker {docker.result().exit_code}, crane {crane.result()}, {took:.1f} s"
    )
    assert docker.result().exit_code == 0, docker.result()
    gateway.crane("push", append)
    for client in ("docker", "crane"):
        gateway.crane("pull", f"validate --remote {NAME}/{name}/{client}:v1")


@pytest.mark.parametrize("goes", ["away", "silent"])
def test_an_abandoned_upload_can_be_repeated(gateway: Gateway, goes: str) -> None:
    """Half a chunk is sent; then the connection is closed, or stays silent, while the image is pushed again."""
    pushed = image(f"left-{goes}", "v1", 400_000)
    layer = pushed.blobs[1]
    client = Client(gateway)
    place = client.chunk(client.begin(pushed.repository), layer[:100_000])
    head = (
        f"PATCH {path_and_query(place)} HTTP/1.1\r\nHost: {NAME}\r\nAuthorization: {client.authorization}\r\n"
        f"Content-Type: application/octet-stream\r\nContent-Length: {len(layer) - 100_000}\r\n\r\n"
    )
    connection = gateway.connect()
    connection.sendall(head.encode() + layer[100_000:250_000])
    if goes == "away":
        connection.close()
    missing = gateway.request(
        "GET", f"/v2/{pushed.repository}/blobs/{digest(layer)}", gateway.authorization("pull")
    )
    assert missing.status == 404
    log = PushLog()
    assert push(gateway, pushed, log) == ""
    assert missing_or_wrong(gateway, log) == []
    with pytest.raises(RefusedError) as refused:
        client.finish(pushed.repository, place, layer)
    assert refused.value.status in {400, 404, 416}
    connection.close()
    assert missing_or_wrong(gateway, log) == []
    assert mismatched_blobs(gateway, STORAGE) == []


def test_a_running_gateway_finds_a_recreated_registry(gateway: Gateway) -> None:
    log, pushed = PushLog(), image("anew", "v1", 50_000)
    assert push(gateway, pushed, log) == ""
    started = gateway_identity(gateway)
    gateway.host.run(f"docker rm -f {REGISTRY}")
    assert_registry_unavailable(gateway, pushed)
    gateway.deploy()
    assert gateway_identity(gateway) == started
    assert {statuses(gateway, pushed) for _ in range(5)} == {(200, 200, 200)}
    assert missing_or_wrong(gateway, log) == []

    gateway.host.run(f"docker restart -t 0 {REGISTRY}")
    for answer in wait_for(gateway, lambda answer: answer.status == 200):
        assert answer.status == 200 or error_of(answer) == (503, "UNAVAILABLE", "5")
    assert {statuses(gateway, pushed) for _ in range(5)} == {(200, 200, 200)}
    assert gateway_identity(gateway) == started
    assert missing_or_wrong(gateway, log) == []


def gateway_identity(gateway: Gateway) -> str:
    return gateway.host.run(f"docker inspect -f '{{{{.State.StartedAt}}}} {{{{.Id}}}}' {GATEWAY}").stdout


def error_of(answer: Answer) -> tuple[int, str, str | None]:
    """Return status, code and Retry-After of an answer in the registry's format."""
    (error,) = json.loads(answer.body)["errors"]
    return answer.status, error["code"], answer.header("Retry-After")


def statuses(gateway: Gateway, pushed: Image) -> tuple[int, ...]:
    """Return the statuses of a manifest, a blob, and the list of tags."""
    pull = gateway.authorization("pull")
    targets = (f"manifests/{pushed.tag}", f"blobs/{digest(pushed.blobs[1])}", "tags/list")
    return tuple(
        gateway.request(
            "GET",
            f"/v2/{pushed.repository}/{each}",
            pull,
            {"Accept": "application/vnd.oci.image.manifest.v1+json"},
        ).status
        for each in targets
    )


def assert_registry_unavailable(gateway: Gateway, pushed: Image) -> None:
    """Check that every request gets 503 with Retry-After."""
    blob = f"/v2/{pushed.repository}/blobs/{digest(pushed.blobs[1])}"
    for role, method, target in (
        ("pull", "GET", "/v2/"),
        ("pull", "GET", f"/v2/{pushed.repository}/manifests/v1"),
        ("pull", "GET", blob),
        ("pull", "PUT", f"/v2/{pushed.repository}/manifests/v1"),
        ("pull", "GET", "/elsewhere"),
        ("push", "HEAD", blob),
        ("push", "POST", f"/v2/{pushed.repository}/blobs/uploads/"),
        ("push", "PUT", f"/v2/{pushed.repository}/manifests/v1"),
        (None, "GET", "/v2/"),
    ):
        answer = gateway.request(method, target, gateway.authorization(role) if role else None)
        if method == "HEAD":
            assert (answer.status, answer.header("Retry-After")) == (503, "5"), target
        else:
            assert error_of(answer) == (503, "UNAVAILABLE", "5"), (role, method, target)
        assert answer.header("Content-Type") == "application/json"


def test_no_request_fails_while_the_registry_is_replaced(gateway: Gateway, soak: bool) -> None:
    """A layer that is under way at each replacement ends with the registry that it began with."""
    before, _ = sockets(gateway)
    with load(gateway, "replaced"):
        for number in range(20 if soak else 2):
            gateway.host.run(CHANGE)
            slow = SlowLayer(gateway, f"replaced/slow{number}")
            ran = gateway.deployment.run()
            assert (ran.exit_code, ran.steps) == (0, [REPLACED]), ran.output
            slow.check()
            after, there = sockets(gateway)
            assert there == [after] != [before]
            before = after


def test_a_registry_that_gives_less_than_the_one_before_is_not_switched_to(gateway: Gateway) -> None:
    """The one before sees the folder that was there when it began; the new one a copy in which a blob is missing."""
    gateway.host.run(f"rm -rf {STORAGE}{STORED}/repositories/*")
    pushed, client = image("stored", "v1", 1_000), Client(gateway)
    client.push(pushed)
    blob = f"/v2/stored/blobs/{digest(pushed.blobs[0])}"
    client.close()
    form = "docker inspect -f '{{.Id}} {{.State.StartedAt}}'"
    before = sockets(gateway), gateway.host.run(f"{form} {REGISTRY}").stdout
    data = f"{STORAGE}{STORED}/blobs/sha256/*/{digest(pushed.blobs[0])[7:]}/data"
    gateway.host.run(f"mv {STORAGE} {STORAGE}.old && cp -a {STORAGE}.old {STORAGE} && rm {data}; {CHANGE}")
    ran = gateway.deployment.run()
    gateway.host.run(f"rm -r {STORAGE} && mv {STORAGE}.old {STORAGE}")
    assert ran.problems == [
        f"[@docker/{gateway.host.name}] could not recreate the container {REGISTRY}: {REGISTRY} gives 404 for {blob} "
        "(the one before goes on serving); fix that and run again"
    ]
    assert (sockets(gateway), gateway.host.run(f"{form} {REGISTRY}").stdout) == before
    assert gateway.deployment.run().steps == [REPLACED]


def test_what_serves_comes_back_after_a_power_cut(gateway: Gateway) -> None:
    """A stale socket stays behind; the registry makes its own anew, and the link names it as before."""
    link, _ = sockets(gateway)
    gateway.host.container.kill()
    gateway.host.container.start()
    gateway.__dict__.pop("address", None)
    gateway.host.wait_until("docker info", 60, "Docker Engine")
    wait_for(gateway, lambda answer: answer.status == 200)
    named, there = sockets(gateway)
    assert named == link in there
    # A host of the bench may have another address when it starts again, and has its /etc/hosts written anew.
    assert [step for step in gateway.deployment.run().steps if " the container " in step] == []
    gateway.host.run(f"docker restart {GATEWAY}")
    wait_for(gateway, lambda answer: answer.status == 200)


def test_a_host_of_the_former_layout_is_upgraded(gateway: Gateway) -> None:
    """Its registry removes the link's name when it ends. No answer is an error, and the port is closed once."""
    gateway.host.run(FORMER_LAYOUT)
    form = "docker inspect -f '{{.State.Health.Status}}'"
    gateway.host.wait_until(f"{form} {REGISTRY} | grep -qx healthy", 30, "the former registry")
    wait_for(gateway, lambda answer: answer.status == 200)
    closed: list[float] = []
    with load(gateway, "former", closed):
        ran = gateway.deployment.run()
    assert ran.exit_code == 0, ran.output
    changed = [step.partition(":")[0] for step in ran.steps]
    assert changed[-4:] == [
        f"recreate the container {GATEWAY}",
        f"recreate the container {REGISTRY}",
        "remove /etc/homelab-registry/gateway/tls/tls.pem",
        "ask the gateway for its certificate",
    ]
    (seconds,) = re.findall(r"port 443 was closed for ([0-9.]+) seconds", ran.output)
    assert max(closed) - min(closed) < float(seconds) + 0.5
    link, there = sockets(gateway)
    assert link in there
    assert gateway.host.run(f"stat -c %a {RUN}").stdout == "700\n"
    assert gateway.deployment.run().steps == []


NO_RANDOMNESS = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [
        {"names": ["getrandom"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
        {
            "names": ["mmap"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": 22,
            "args": [{"index": 3, "value": 15, "valueTwo": 8, "op": "SCMP_CMP_MASKED_EQ"}],
        },
    ],
}
"""A seccomp profile that leaves Go's programs only /dev/urandom: no getrandom(2), and no memory (MAP_DROPPABLE) for the
one of the vDSO."""


def purge_uploads(gateway: Gateway) -> str:
    """Have a further registry with the deployed configuration and storage purge uploads; return what it logged.

    It waits for a random number of minutes first (distribution, registry/handlers/app.go, startUploadPurger): here all
    that is random is zero.
    """
    gateway.host.write("/root/no-randomness.json", json.dumps(NO_RANDOMNESS))
    image_id, user = gateway.host.run(
        f"docker inspect -f '{{{{.Image}}}} {{{{.Config.User}}}}' {REGISTRY}"
    ).stdout.split()
    gateway.host.run(
        f"docker run -d --name purger --volumes-from {REGISTRY} --user {user} --network none -v /dev/zero:/dev/urandom:ro "
        "--security-opt seccomp=/root/no-randomness.json -e REGISTRY_LOG_LEVEL=info -e REGISTRY_HTTP_ADDR=/tmp/socket "
        f"-e OTEL_TRACES_EXPORTER=none --entrypoint registry {image_id} serve /etc/registry/config.yml"
    )
    try:
        gateway.host.wait_until("docker logs purger 2>&1 | grep 'Purge uploads finished'", 20, "the purge")
        return gateway.host.run("docker logs purger 2>&1").stdout
    finally:
        gateway.host.run("docker rm -f purger")


def test_uploads_that_were_never_finished_are_purged_after_a_week(gateway: Gateway) -> None:
    log, client, layer = PushLog(), Client(gateway), b"half of a layer"
    uploads = f"{STORAGE}{STORED}/repositories/unfinished/_uploads"
    assert push(gateway, image("unfinished", "v1", 1_000), log) == ""
    places = {}
    for age in ("8 days ago", "6 days ago", "1 minute ago"):
        places[age] = client.chunk(client.begin("unfinished"), layer[:7])
        folder = f"{uploads}/{path_and_query(places[age]).partition('?')[0].rpartition('/')[2]}"
        gateway.host.run(f"date -u -d '{age}' +%FT%TZ | tr -d '\\n' > {folder}/startedat")
    printed = purge_uploads(gateway)
    assert "Num deleted=1, num errors=0" in printed, printed
    assert len(gateway.host.run(f"ls {uploads}").stdout.split()) == 2
    for age, place in places.items():
        rest = client.chunk(place, layer[7:]) if age != "8 days ago" else place
        if rest is place:
            with pytest.raises(RefusedError) as refused:
                client.finish("unfinished", place, layer)
            assert refused.value.status == 404
        else:
            client.finish("unfinished", rest, layer)
    client.close()
    assert missing_or_wrong(gateway, log) == []
