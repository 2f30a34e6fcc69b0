"""The containers as they run, and that no secret can be read where it should not be."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import secrets
import shlex
import time
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from tasks.accounts import passwords
from tasks.registry import cache, containers, image_age, keeper, leaf, metrics, storage
from tasks.registry import desired as layout
from tasks.remote.fact_scripts import read_answer
from tasks.settings.load import Settings
from tasks.state.store import State, Store
from tests.verify.backend import Host
from tests.verify.client import Client
from tests.verify.deployment import Deployment, Login

WRITABLE = {
    containers.REGISTRY: {containers.STORAGE, containers.SOCKETS},
    containers.GATEWAY: set(),
    keeper.NAME: {keeper.ANSWERS},
    cache.NAME: {cache.STORAGE, cache.SOCKETS},
    metrics.NAME: set(),
}
NETWORKS = {containers.GATEWAY: [containers.NETWORK], cache.NAME: [cache.NAME]}
STARTING_SECONDS = 60


@pytest.fixture
def container(request: pytest.FixtureRequest, registry: Host) -> dict[str, Any]:
    """What the engine reports of a running container."""
    return inspect(registry, request.param)


def inspect(host: Host, name: str) -> dict[str, Any]:
    done = host.run("docker inspect %s", name)
    assert done.rc == 0, f"{host.name}: there is no container {name}; run make deploy"
    found: dict[str, Any] = json.loads(done.stdout)[0]
    return found


def check(container: dict[str, Any], what: str, found: object, wanted: object) -> None:
    name = container["Name"].lstrip("/")
    assert found == wanted, f"the container {name}: its {what} is {found!r}, not {wanted!r}; run make deploy"


def test_it_is_healthy(registry: Host, container: dict[str, Any]) -> None:
    name, end = container["Name"].lstrip("/"), time.monotonic() + STARTING_SECONDS
    while (health := container["State"].get("Health", {}).get("Status", "not checked")) == "starting":
        if time.monotonic() > end:
            break
        time.sleep(1)
        container = inspect(registry, name)
    found = (container["State"]["Status"], health)
    assert found == ("running", "healthy"), (
        f"the container {name} is {' and '.join(found)}; see docker logs {name} on {registry.name}, and run make deploy"
    )


def test_its_engine_keeps_it_in_bounds(container: dict[str, Any]) -> None:
    host, name = container["HostConfig"], container["Name"].lstrip("/")
    user, _, group = container["Config"]["User"].partition(":")
    check(container, "user", int(user) in (containers.UID, containers.FORMER_UID), True)
    check(container, "group", group, user)
    check(container, "root file system's read-only flag", host["ReadonlyRootfs"], True)
    check(container, "list of dropped capabilities", host["CapDrop"], ["ALL"])
    check(container, "list of added capabilities", host["CapAdd"] or [], [])
    check(container, "privileged flag", host["Privileged"], False)
    check(container, "list of devices", host["Devices"] or [], [])
    # With the host's own user ids, since the files have them: an engine with userns-remap would give others.
    check(container, "user namespace", host["UsernsMode"], "host")
    shared = [key for key in ("NetworkMode", "PidMode", "IpcMode", "UTSMode") if host[key] == "host"]
    check(container, "list of namespaces shared with the host", shared, [])
    options = [option.removesuffix(":true") for option in host["SecurityOpt"] or []]
    check(container, "list of security options", options, ["no-new-privileges"])
    networks = list(container["NetworkSettings"]["Networks"])
    check(container, "list of networks", networks, NETWORKS.get(name, ["none"]))
    check(container, "restart policy", host["RestartPolicy"]["Name"], "unless-stopped")


def test_its_process_has_no_rights(registry: Host, container: dict[str, Any]) -> None:
    """As the kernel reports it, whatever the engine was asked for."""
    pid = str(container["State"]["Pid"])
    check(container, "state", container["State"]["Status"], "running")
    text = registry.output("cat /proc/%s/status", pid)
    status = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    user = container["Config"]["User"].partition(":")[0]
    check(container, "user ids", status["Uid"].split(), [user] * 4)
    for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        check(container, f"process's {key}", int(status[key], 16), 0)
    check(container, "process's NoNewPrivs", status["NoNewPrivs"].strip(), "1")
    mounts = [line.split() for line in registry.output("cat /proc/%s/mountinfo", pid).splitlines()]
    root = next(mount[5].split(",") for mount in mounts if mount[4] == "/")
    check(container, "root file system", "ro" if "ro" in root else "writable", "ro")
    limits = registry.output("cat /proc/%s/limits", pid).splitlines()
    files = next(line.split()[3:5] for line in limits if line.startswith("Max open files"))
    check(container, "limit of open files", files, [str(containers.OPEN_FILES)] * 2)


def test_its_logs_are_rotated(container: dict[str, Any]) -> None:
    log = container["HostConfig"]["LogConfig"]
    check(container, "log driver", log["Type"], "json-file")
    check(container, "log's largest size", log["Config"].get("max-size"), "10m")
    check(container, "log's number of files", log["Config"].get("max-file"), "5")


def test_it_can_write_no_more_than_it_must(container: dict[str, Any], settings: Settings) -> None:
    name = container["Name"].lstrip("/")
    kinds = {mount["Destination"]: mount["Type"] for mount in container["Mounts"]}
    allowed = set(WRITABLE[name])
    if settings.registry_metrics and name in {metrics.NAME, containers.GATEWAY}:
        allowed.add(metrics.SHARED)
        check(container, "volume in memory", kinds.pop(metrics.SHARED, None), "volume")
    check(container, "list of mounts that are not bind mounts", sorted({*kinds.values()} - {"bind"}), [])
    writable = {mount["Destination"] for mount in container["Mounts"] if mount["RW"]}
    check(container, "list of writable folders", sorted(writable), sorted(allowed))


def test_only_the_gateway_is_published(container: dict[str, Any], settings: Settings) -> None:
    ports = container["NetworkSettings"]["Ports"] or {}
    found = sorted(
        {(inside, place["HostPort"]) for inside, places in ports.items() for place in places or []}
    )
    wanted = [(f"{containers.GATEWAY_PORT}/tcp", str(settings.registry_port))]
    gateway = container["Name"].lstrip("/") == containers.GATEWAY
    check(container, "list of published ports", found, wanted if gateway else [])
    check(container, "publish-all flag", container["HostConfig"]["PublishAllPorts"], False)


def test_the_registry_knows_the_passwords_of_the_state(registry: Host, state: State) -> None:
    """By digest, so that no hash leaves the host. It has only those former passwords that the state still has."""
    former = {name: each.hashed for name, each in state.former.items()}
    wanted = passwords.htpasswd(passwords.entries(state.hashes, former), *map(str, state.changes[-1:]))
    path = f"{layout.FOLDER}/{layout.HTPASSWD}"
    found = registry.run("sha256sum < %s", path).stdout.partition(" ")[0]
    assert found == hashlib.sha256(wanted.encode()).hexdigest(), (
        f"{registry.name}: {path} does not match the accounts and passwords in the state; run make deploy"
    )
    mark = f"{layout.FOLDER}/{layout.TWO_PASSWORDS}"
    marked = registry.run("test -e %s", mark).rc == 0
    assert marked == bool(former), (
        f"{registry.name}: {mark} {'exists' if marked else 'is missing'}, and "
        f"{len(former)} accounts have a former password; run make deploy"
    )


@pytest.fixture
def traces(client: Client, deployment: Deployment) -> tuple[str, str]:
    """A path and a wrong password that were just sent to the registry, to be looked for in its logs."""
    path, wrong = (f"homelab-verify-{secrets.token_hex(8)}" for _ in range(2))
    right = deployment.login("pull", "push", "admin")
    for login in (right, Login(right.name, wrong)):
        client.request("GET", f"/v2/{path}/tags/list", login)
    return path, wrong


def test_no_secret_is_shown(
    registry: Host, state: State, settings: Settings, store: Store, traces: tuple[str, str]
) -> None:
    path, wrong = traces
    hidden = secret_texts(state) | {"a wrong password": wrong}
    for name, token in store.read_upstream_secrets(settings.registry_cache_accounts).items():
        login = b64encode(f"{settings.registry_cache_accounts[name]}:{token}".encode()).decode()
        hidden |= {f"the access token at {name}": token, f"the login at {name}": login}
    caches = [cache.NAME] if settings.registry_caches else []
    for name in (containers.REGISTRY, containers.GATEWAY, *caches):
        process = f"/proc/$(docker inspect -f '{{{{.State.Pid}}}}' {name})"
        for command in (
            f"docker inspect {name}",
            f"docker logs {name}",
            f"cat {process}/cmdline {process}/environ",
        ):
            found = lines_with(registry, command, *hidden.values())
            which = [what for what, text in hidden.items() if found and lines_with(registry, command, text)]
            assert not found, (
                f"{registry.name}: `{command}` shows {', '.join(which)}; replace those secrets and run make deploy"
            )
    # The gateway writes its log within a second.
    deadline = time.monotonic() + 10
    while lines_with(registry, f"docker logs {containers.GATEWAY}", path) < 2:
        assert time.monotonic() < deadline, (
            f"{registry.name}: the gateway's log lacks two requests that were just made; run make deploy"
        )
        time.sleep(0.2)


def secret_texts(state: State) -> dict[str, str]:
    """Return all texts that must not be shown, by what they are: plain, and as they are in a request's header."""
    plain = {f"the password of {name}": password for name, password in state.passwords.items()}
    plain |= {f"the hash of {name}": hashed for name, hashed in state.hashes.items()}
    plain |= {f"the hash of {name}'s former password": each.hashed for name, each in state.former.items()}
    if state.http_secret:
        plain["the registry's http.secret"] = state.http_secret
    encoded = {f"{what} (base64)": text for what, text in plain.items()}
    encoded |= {f"the login of {name}": f"{name}:{password}" for name, password in state.passwords.items()}
    if state.leaf:
        plain["the certificate's key"] = state.leaf.key_pem.splitlines()[1]
    texts = plain | {what: b64encode(text.encode()).decode() for what, text in encoded.items()}
    # A short password of a person's own choice may be anywhere by chance.
    return {what: text for what, text in texts.items() if len(text) >= 12}


def lines_with(host: Host, command: str, *texts: str) -> int:
    """Return how many lines of a command's output have one of the texts, which are given on standard input."""
    find = f"exec 3<&0; {{ {command}; }} 2>&1 </dev/null | grep -a -F -c -f /dev/fd/3"
    return int(host.run_with_input("\n".join(texts), find).stdout)


def test_files_with_secrets_are_closed(registry: Host, settings: Settings) -> None:
    files = (leaf.LINK, layout.GATEWAY_CONFIG, layout.REGISTRY_CONFIG, layout.HTPASSWD)
    wanted = {f"{layout.FOLDER}/{name}": 0o600 for name in files}
    wanted |= {f"{layout.FOLDER}/{name}": 0o700 for name in layout.FOLDERS}
    wanted |= {settings.registry_storage_path: 0o700}
    if settings.registry_caches:
        logins = f"{layout.FOLDER}/{cache.LOGINS}"
        wanted |= {settings.registry_cache_path: 0o700, logins: 0o700}
        wanted |= {f"{logins}/{name}": 0o600 for name in settings.registry_cache_accounts}
    told = registry.run(f"stat -L -c '%a %u %g %n' {shlex.join(wanted)}").stdout
    rows = [line.split(" ", 3) for line in told.splitlines()]
    found = {path: (int(mode, 8), int(uid), int(gid)) for mode, uid, gid, path in rows}
    user = int(inspect(registry, containers.REGISTRY)["Config"]["User"].partition(":")[0])
    for path, mode in wanted.items():
        assert path in found, f"{registry.name}: {path} is missing; run make deploy"
        its, uid, gid = found[path]
        assert found[path] == (mode, user, user), (
            f"{registry.name}: {path} has mode {its:o} and owner {uid}:{gid}, not {mode:o} and {user}:{user}; "
            "run make deploy"
        )


def test_the_registry_has_the_folder_of_the_images(registry: Host, settings: Settings) -> None:
    """Its container may see another one: that of a disk which was mounted or unmounted since it started."""
    kept = storage.read_record(registry.output("cat %s", f"{layout.FOLDER}/{layout.STORAGE_RECORD}"))
    pid = inspect(registry, containers.REGISTRY)["State"]["Pid"]
    seen = registry.run("head -n 1 %s", f"/proc/{pid}/root{containers.STORAGE}/{storage.MARK}").stdout.strip()
    path = settings.registry_storage_path
    assert kept, f"{registry.name}: {layout.FOLDER}/{layout.STORAGE_RECORD} is damaged; run make deploy"
    assert (kept.path, kept.id) == (path, seen), (
        f"{registry.name}: the registry does not see the images in {kept.path}; see findmnt -T {path}, and run make deploy"
    )


def test_its_image_is_not_out_of_date(registry: Host, container: dict[str, Any]) -> None:
    reference = container["Config"]["Image"]
    seen = registry.output("docker image inspect -f %s %s", image_age.FORMAT, container["Image"]).strip()
    made = f"image|{reference}|{seen}"
    answer = read_answer(
        [made, *registry.output(f"made={shlex.quote(made)}\n{image_age.LOOK}").splitlines(), "end"]
    )
    debian, now = image_age.read_debian(answer), dt.datetime.now(dt.UTC)
    found = {
        f"{name}: {image_age.warning(built, debian, now)}"
        for name, built in image_age.read_built(answer).items()
        if (now - built.at).days > image_age.DAYS and image_age.warning(built, debian, now)
    }
    assert not found, (
        f"{registry.name}: the image {'; '.join(found)}; run docker rmi -f {reference} there, then make deploy"
    )


def test_the_state_is_closed(store: Store) -> None:
    found: list[Path] = [store.folder, *store.folder.rglob("*")]
    assert len(found) > 1, f"{store.folder} is empty; run make deploy"
    for path in found:
        mode, wanted = path.lstat().st_mode & 0o7777, 0o700 if path.is_dir() else 0o600
        assert mode == wanted, f"{path} has mode {mode:o}; run chmod {wanted:o} {path}"
