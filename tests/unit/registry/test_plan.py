"""One test for each reason for drift. What `docker inspect` says of a container of ours stands in host_config.json."""

from __future__ import annotations

import copy
import datetime as dt
import json
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from posixpath import basename
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tasks.registry import cache, containers, leaf, proof
from tasks.registry import desired as layout
from tasks.registry import plan as registry
from tasks.registry.containers import UID
from tasks.registry.desired import Desired, Secrets
from tasks.registry.plan import RegistryHost
from tasks.registry.storage import Record
from tasks.remote.files import File, Observed
from tasks.remote.steps import Conflict
from tasks.run.context import ROOT
from tasks.settings import listen as ports
from tasks.settings.listen import ALL_IPV4
from tasks.settings.load import Settings
from tasks.settings.types import Role

TEMPLATES = str(ROOT / "templates")
SECRETS = Secrets("admin:$2b$04$x\n", "ab" * 32, "-----CERT-----\n", "-----KEY-----\n", "Basic YWRtaW46eA==")
IMAGES = {"registry": "local/registry:1", "gateway": "local/nginx:1"}
RECORD = Record("/var/lib/homelab-registry", "0" * 32, "/")
STARTED = 1_800_000_000.0
Change = Callable[[dict[str, Any]], None]


def desire(listen: str = ALL_IPV4, **settings: Any) -> Desired:
    return layout.desire(Settings(**settings), SECRETS, IMAGES, TEMPLATES, RECORD, listen=listen)


def inspected(container: containers.Container) -> dict[str, Any]:
    """What `docker inspect` (20.10) reports for a container as we start it, as far as it matters."""
    untouched = json.loads((Path(__file__).parent / "host_config.json").read_text())
    ports = {"8443/tcp": [{"HostPort": str(container.publish)}]}
    labels = {} if container.publish else {containers.SOCKET_LABEL: "a.sock"}
    return {
        "Image": f"sha256:{container.image}",
        "Config": {"Labels": {containers.LABEL: container.digest, **labels}},
        "HostConfig": untouched,
        "NetworkSettings": {"Networks": {container.network: {}}, "Ports": ports if container.publish else {}},
        "State": {
            "Status": "running", "Running": True, "Paused": False, "Pid": 1,
            "StartedAt": "2027-01-15T08:00:00.123456789Z", "Health": {"Status": "healthy"},
        },
    }  # fmt: skip


def converged(desired: Desired, settings: Settings | None = None) -> RegistryHost:
    """A host on which everything is as desired, asked for what a run with the settings asks for."""
    paths: dict[str, Observed | None] = dict.fromkeys(layout.paths(settings or Settings()))
    for number, item in enumerate(desired.files):
        kind, digest = ("regular file", item.sha256) if isinstance(item, File) else ("directory", None)
        paths[item.path] = Observed(kind, item.mode, item.owner, item.group, STARTED - 60, number, digest)
    digest = desired.leaf.sha256
    paths[desired.leaf.path] = Observed("regular file", "600", UID, UID, STARTED - 60, 97, digest)
    paths[registry.CERTIFICATE] = Observed("symbolic link", "777", 0, 0, STARTED - 60, 99, digest)
    inside = {
        (container.name, mount.target): found.inode
        for container in desired.containers
        for mount in container.mounts
        if (found := paths.get(mount.source))  # a volume has no path
    }
    return RegistryHost(
        paths=paths,
        engine="running",
        containers={container.name: inspected(container) for container in desired.containers},
        images={image: f"sha256:{image}" for image in IMAGES.values()},
        networks=frozenset({"bridge", "homelab-registry"}),
        links={containers.REGISTRY: "a.sock", cache.NAME: "a.sock"},
        inside=inside,
        leaf=basename(desired.leaf.path),
        installed=desired.certificate,
        served=desired.certificate,
        handshake=True,
    )


def texts(desired: Desired, found: RegistryHost, **more: Any) -> list[str]:
    return [step.text for step in registry.steps(desired, found, **more)]


def test_a_host_as_desired_needs_nothing() -> None:
    assert texts(desire(), converged(desire())) == []


def test_a_bare_host_needs_everything_in_this_order() -> None:
    found = RegistryHost(paths=dict.fromkeys(layout.paths(Settings())))
    steps = texts(desire(), found)
    assert [text.partition(":")[0].split()[0] for text in steps] == ["make"] * 7 + ["write"] * 6 + [
        "make",
        "create",
        "create",
    ]
    assert steps[-3:] == [
        "make the network homelab-registry: it is missing",
        "create the container homelab-registry: it does not exist",
        "create the container homelab-registry-gateway: it does not exist",
    ]


def at(*path: str, value: Any) -> Change:
    def change(report: dict[str, Any]) -> None:
        for key in path[:-1]:
            report = report[key]
        report[path[-1]] = value

    return change


@pytest.mark.parametrize("name", [containers.REGISTRY, containers.GATEWAY])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (at("Config", "Labels", containers.LABEL, value="0"), "it was started in another way"),
        (at("Image", value="sha256:other"), "it runs another image"),
        (at("HostConfig", "RestartPolicy", value={"Name": "no", "MaximumRetryCount": 0}),
         'its RestartPolicy was changed to {"Name": "no", "MaximumRetryCount": 0}'),
        (at("State", value={"Running": False, "Status": "exited"}), "it is exited"),
        (at("State", "Paused", value=True), "it is running"),
        (at("State", "Health", "Status", value="unhealthy"), "it is unhealthy"),
    ],
)  # fmt: skip
def test_each_change_of_a_container_makes_that_one_anew(name: str, change: Change, reason: str) -> None:
    desired = desire()
    found = converged(desired)
    report = copy.deepcopy(dict(found.containers[name]))
    change(report)
    changed = replace(found, containers={**found.containers, name: report})
    assert texts(desired, changed) == [f"recreate the container {name}: {reason}"]


LIMITS = {
    "Memory": 268435456,
    "MemorySwap": 536870912,
    "NanoCpus": 500000000,
    "CpuShares": 2,
    "PidsLimit": 50,
    "CpusetCpus": "0",
}


@pytest.mark.parametrize("name", [containers.REGISTRY, containers.GATEWAY])
def test_limits_of_the_owner_stay_and_go_over_to_the_next_container(name: str) -> None:
    """They set them with `docker update`."""
    desired = desire()
    found = converged(desired)
    report = copy.deepcopy(dict(found.containers[name]))
    report["HostConfig"].update(LIMITS)
    limited = replace(found, containers={**found.containers, name: report})
    assert texts(desired, limited) == []
    report["Image"] = "sha256:other"
    (step,) = registry.steps(desired, limited)
    after_ours = step.script.partition(
        f"--memory={next(c for c in desired.containers if c.name == name).memory}"
    )[2]
    for option in (
        "--memory=268435456", "--memory-swap=536870912", "--cpus=0.5", "--cpu-shares=2", "--pids-limit=50",
        "--cpuset-cpus=0",
    ):  # fmt: skip
        assert f" {option} " in after_ours


def test_the_limit_that_a_container_was_started_with_is_not_the_owner_s() -> None:
    """A later version may have another; a kernel without the memory controller reports none."""
    report = inspected(desire().containers[0])
    ours = report["Config"]["Labels"][containers.MEMORY_LABEL] = "12345"
    for memory in (int(ours), 0):
        report["HostConfig"].update({"Memory": memory, "MemorySwap": 2 * memory})
        assert containers.owner_limits(report) == []


@pytest.mark.parametrize(
    ("settings", "wanted", "open_on", "reason"),
    [
        ({}, ALL_IPV4, "", "its port is open on all addresses, of IPv6 too, not on all IPv4 addresses"),
        ({"registry_listen_address": "192.0.2.9"}, "192.0.2.9", ALL_IPV4,
         "its port is open on all IPv4 addresses, not on 192.0.2.9"),
        ({"registry_extra_names": ("fd00::9",)}, "", ALL_IPV4,
         "its port is open on all IPv4 addresses, not on all addresses, of IPv6 too"),
        ({"registry_listen_address": "fd00::9"}, "fd00::9", "",
         "its port is open on all addresses, of IPv6 too, not on fd00::9"),
    ],
)  # fmt: skip
def test_a_port_that_is_open_elsewhere_is_named(
    settings: dict[str, Any], wanted: str, open_on: str, reason: str
) -> None:
    given = Settings(**settings)
    assert ports.address(given.registry_listen_address, given.server_names) == wanted
    desired = desire(wanted, **settings)
    found = converged(desired, given)
    report = copy.deepcopy(dict(found.containers[containers.GATEWAY]))
    binding = {"HostIp": open_on, "HostPort": "443"}
    report["HostConfig"]["PortBindings"] = {"8443/tcp": [binding]}
    elsewhere = replace(found, containers={**found.containers, containers.GATEWAY: report})
    (step,) = registry.steps(desired, elsewhere)
    assert step.text == f"recreate the container {containers.GATEWAY}: {reason}"
    publish = f"[{wanted}]:443:8443" if ":" in wanted else f"{wanted}:443:8443".lstrip(":")
    assert f"publish={shlex.quote(publish)}\n" in step.script
    binding["HostIp"] = wanted
    assert texts(desired, elsewhere) == []


@pytest.mark.parametrize("name", [containers.REGISTRY, containers.GATEWAY])
@pytest.mark.parametrize("networks", [{}, {"bridge": {}}, {"homelab-registry": {}, "none": {}, "bridge": {}}])
def test_another_network_makes_a_container_anew(name: str, networks: dict[str, Any]) -> None:
    desired = desire()
    found = converged(desired)
    report = copy.deepcopy(dict(found.containers[name]))
    report["NetworkSettings"]["Networks"] = networks
    (text,) = texts(desired, replace(found, containers={**found.containers, name: report}))
    assert re.fullmatch(rf"recreate the container {name}: it is not connected to the network \S+ alone", text)


def test_a_container_that_is_gone_is_made_anew_alone() -> None:
    desired = desire()
    found = converged(desired)
    rest = {containers.GATEWAY: found.containers[containers.GATEWAY]}
    assert texts(desired, replace(found, containers=rest)) == [
        "create the container homelab-registry: it does not exist"
    ]


def test_an_image_made_in_this_run_makes_its_container_anew() -> None:
    assert texts(desire(), converged(desire()), new_images=frozenset({IMAGES["gateway"]})) == [
        "recreate the container homelab-registry-gateway: its image is new"
    ]


@pytest.mark.parametrize(
    ("name", "restarted"),
    [
        (layout.REGISTRY_CONFIG, "homelab-registry"),
        (layout.GATEWAY_CONFIG, "homelab-registry-gateway"),
        (layout.HTPASSWD, None),
    ],
)
def test_a_changed_file_restarts_only_what_reads_it_at_its_start(name: str, restarted: str | None) -> None:
    desired = desire()
    found = converged(desired)
    path = f"{layout.FOLDER}/{name}"
    present = found.paths[path]
    assert present
    for change, reason in (
        (replace(present, sha256="0"), f"write {path}: its content is not as it should be"),
        (None, f"write {path}: it is missing"),
    ):
        expected = [reason]
        if restarted:
            expected.append(f"recreate the container {restarted}: its configuration changes")
        assert texts(desired, replace(found, paths={**found.paths, path: change})) == expected
    wider = replace(present, mode="644")
    assert texts(desired, replace(found, paths={**found.paths, path: wider})) == [
        f"set owner and mode of {path}: its mode is 0644, not 0600"
    ]


def test_a_run_killed_between_file_and_restart_is_finished_by_the_next() -> None:
    desired = desire()
    found = converged(desired)
    path = f"{layout.FOLDER}/{layout.GATEWAY_CONFIG}"
    present = found.paths[path]
    assert present
    newer = replace(present, modified=STARTED + 10)
    assert texts(desired, replace(found, paths={**found.paths, path: newer})) == [
        "recreate the container homelab-registry-gateway: its configuration is newer than its start"
    ]


def test_a_folder_that_was_replaced_behind_a_container_makes_it_anew() -> None:
    desired = desire()
    found = converged(desired)
    inside = {**found.inside, (containers.REGISTRY, containers.CONFIG): 4711}
    assert texts(desired, replace(found, inside=inside)) == [
        "recreate the container homelab-registry: it does not see the folder /etc/homelab-registry/registry "
        "that is there now"
    ]


def test_a_certificate_in_service_that_is_not_the_one_in_the_file_makes_the_gateway_anew() -> None:
    assert texts(desire(), replace(converged(desire()), served="-----OTHER-----\n")) == [
        "recreate the container homelab-registry-gateway: it serves another certificate than the one in its file"
    ]


def test_a_gateway_that_nobody_reaches_is_made_anew_unless_nothing_could_look() -> None:
    found = replace(converged(desire()), served="")
    assert texts(desire(), found) == [
        "recreate the container homelab-registry-gateway: nothing answers on port 443"
    ]
    assert texts(desire(), replace(found, handshake=False)) == []


def foreign() -> str:
    """A certificate that is not ours, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "TRAEFIK DEFAULT CERT")])
    now = dt.datetime.now(dt.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(1))
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


RULE = "-A CNI-HOSTPORT-DNAT -p tcp -m multiport --dports 80,443 -j CNI-DN-1"


@pytest.mark.parametrize(
    ("rules", "named"),
    [((RULE, "-A CNI-DN-1"), f"the rule '{RULE}' takes it"), ((), "no listener and no NAT rule shows there")],
)
@pytest.mark.parametrize("running", [True, False])
def test_a_port_that_leads_elsewhere_is_told_with_the_certificate_and_nothing_is_restarted(
    rules: tuple[str, ...], named: str, running: bool
) -> None:
    desired, pem = desire(), foreign()
    found = replace(converged(desired), served=pem, rules=rules)
    if running:  # then it is asked past the port
        found = replace(found, inner={containers.GATEWAY: desired.certificate})
    else:
        found = replace(found, containers={})
    with pytest.raises(Conflict) as stop:
        registry.steps(desired, found)
    fingerprint = x509.load_pem_x509_certificate(pem.encode()).fingerprint(hashes.SHA256()).hex(":").upper()
    assert stop.value.problem == (
        "port 443 leads to another server, with the certificate of CN=TRAEFIK DEFAULT CERT by CN=TRAEFIK DEFAULT CERT "
        f"(SHA-256 {fingerprint}); {named}"
    )
    assert "set registry_port to another port, and run again" in stop.value.remedy


def test_a_gateway_that_serves_another_certificate_itself_is_made_anew() -> None:
    found = replace(converged(desire()), served="-----OTHER-----\n")
    assert texts(desire(), replace(found, inner={containers.GATEWAY: "-----OTHER-----\n"})) == [
        "recreate the container homelab-registry-gateway: it serves another certificate than the one in its file"
    ]


LEFT = "remove what is left of replacing the container {}: a run was killed"


def left(found: RegistryHost, names: dict[str, str | None], socket: str | None) -> RegistryHost:
    """The host with these registries, each with its socket, and what the link names."""
    others = {containers.GATEWAY: found.containers[containers.GATEWAY]}
    inside = dict(found.inside)
    for name, own in names.items():
        report = copy.deepcopy(dict(found.containers[containers.REGISTRY]))
        report["Config"]["Labels"][containers.SOCKET_LABEL] = own
        others[name] = report
        inside |= {(name, at): inode for (each, at), inode in found.inside.items() if each == N}
    return replace(
        found, containers=others, inside=inside, links={**found.links, containers.REGISTRY: socket}
    )


N, NEXT, FORMER = "homelab-registry", "homelab-registry-next", "homelab-registry-former"
LEADS_ELSEWHERE = f"recreate the container {N}: the gateway's link does not lead to its socket"


@pytest.mark.parametrize(
    ("names", "socket", "steps"),
    [
        ({N: "a.sock", NEXT: "b.sock"}, "a.sock", [LEFT.format(N)]),
        ({N: "a.sock", NEXT: "b.sock"}, "b.sock", [LEFT.format(N)]),
        ({FORMER: "a.sock", NEXT: "b.sock"}, "b.sock", [LEFT.format(N)]),
        ({NEXT: "b.sock"}, "b.sock", [LEFT.format(N)]),
        ({N: "b.sock", FORMER: "a.sock"}, "b.sock", [LEFT.format(N)]),
        ({N: "b.sock"}, "b.sock", []),
        ({N: "b.sock"}, "a.sock", [LEADS_ELSEWHERE]),
        ({N: "b.sock"}, None, [LEADS_ELSEWHERE]),
        ({N: None}, "b.sock", [LEADS_ELSEWHERE]),
        ({NEXT: "b.sock"}, None, [f"create the container {N}: it does not exist"]),
        ({N: None, NEXT: "a.sock"}, None, [LEFT.format(N)]),
    ],
)
def test_a_replacement_that_was_killed_is_finished_from_what_the_link_names(
    names: dict[str, str | None], socket: str | None, steps: list[str]
) -> None:
    assert texts(desire(), left(converged(desire()), names, socket)) == steps


@pytest.mark.parametrize(
    ("own", "socket", "health", "first"),
    [
        ("a.sock", "a.sock", "healthy", N),
        (None, None, "healthy", f"{N}-gateway"),
        (None, None, "unhealthy", N),
        (None, None, "starting", N),
        (None, "a.sock", "healthy", N),
        ("a.sock", None, "healthy", N),
    ],
)
def test_of_the_layout_before_there_was_a_link_the_gateway_is_replaced_first(
    own: str | None, socket: str | None, health: str, first: str
) -> None:
    found = left(converged(desire()), {N: own}, socket)
    for report in found.containers.values():
        report["Config"]["Labels"][containers.LABEL] = "0"
    found.containers[N]["State"]["Health"]["Status"] = health
    recreated = [text for text in texts(desire(), found) if text.startswith("recreate")]
    assert [text.split()[3].rstrip(":") for text in recreated] == [first, *({N, f"{N}-gateway"} - {first})]


G = "homelab-registry-gateway"


@pytest.mark.parametrize(
    ("states", "steps"),
    [
        ({G: "port", f"{G}-next": "running"}, [LEFT.format(G)]),
        ({G: "exited", f"{G}-next": "port"}, [LEFT.format(G)]),
        ({f"{G}-former": "exited", f"{G}-next": "port"}, [LEFT.format(G)]),
        ({f"{G}-next": "port"}, [LEFT.format(G)]),
        ({G: "port", f"{G}-former": "exited"}, [LEFT.format(G)]),
        ({G: "exited", f"{G}-next": "exited"}, [f"recreate the container {G}: it is exited"]),
        ({f"{G}-former": "exited", f"{G}-next": "exited"}, [f"recreate the container {G}: it is exited"]),
    ],
)
def test_the_gateway_that_has_the_port_is_the_one_in_service(
    states: dict[str, str], steps: list[str]
) -> None:
    found = converged(desire())
    reports, inside = {N: found.containers[N]}, dict(found.inside)
    for name, state in states.items():
        report = copy.deepcopy(dict(found.containers[G]))
        if state != "port":
            report["NetworkSettings"]["Ports"] = {"80/tcp": None}
        if state == "exited":
            report["State"] |= {"Running": False, "Status": "exited"}
        reports[name] = report
        inside |= {(name, at): inode for (each, at), inode in found.inside.items() if each == G}
    assert texts(desire(), replace(found, containers=reports, inside=inside)) == steps


@pytest.mark.parametrize("name", [N, NEXT, f"{G}-next", f"{G}-former"])
@pytest.mark.parametrize("labels", [None, {}, {"com.docker.compose.project": "mine"}])
def test_a_container_of_the_user_s_with_our_name_is_left_alone(
    name: str, labels: dict[str, str] | None
) -> None:
    found = converged(desire())
    report = copy.deepcopy(dict(found.containers[containers.REGISTRY]))
    report["Config"]["Labels"] = labels
    with pytest.raises(Conflict, match=f"there is a container {name} that this project did not make"):
        registry.steps(desire(), replace(found, containers={**found.containers, name: report}))


def test_a_new_leaf_is_one_step_and_no_restart() -> None:
    found = converged(desire())
    renewed = layout.desire(
        Settings(), replace(SECRETS, certificate_pem="-----NEW-----\n"), IMAGES, TEMPLATES, RECORD
    )
    assert texts(renewed, found) == [f"write {registry.CERTIFICATE}: its content is not as it should be"]


def test_the_one_file_of_earlier_gateways_goes_after_the_present_one_runs() -> None:
    """Until then the running nginx opens it at each handshake."""
    desired, first = desire(), f"{layout.FOLDER}/{leaf.FIRST}"
    found = converged(desired)
    seen = found.paths[desired.leaf.path]
    absent: dict[str, Observed | None] = {registry.CERTIFICATE: None, first: seen}
    others = {path: found for path, found in found.paths.items() if path != desired.leaf.path}
    report = copy.deepcopy(dict(found.containers[containers.GATEWAY]))
    report["Config"]["Labels"][containers.LABEL] = "0"
    before = replace(
        found, paths=others | absent, leaf="", containers={**found.containers, containers.GATEWAY: report}
    )
    removed = f"remove {first}: the gateway reads current.pem"
    assert texts(desired, before) == [
        f"write {registry.CERTIFICATE}: it is missing",
        "recreate the container homelab-registry-gateway: it was started in another way",
        removed,
    ]
    assert texts(desired, replace(found, paths={**found.paths, first: seen})) == [removed]


def test_a_custom_password_is_marked_for_the_gateway_and_restarts_nothing() -> None:
    found = converged(desire())
    htpasswd = f"{layout.FOLDER}/{layout.HTPASSWD}"
    mark = f"{layout.FOLDER}/{layout.CUSTOM_PASSWORDS}/ci"
    custom = layout.desire(
        Settings(), replace(SECRETS, htpasswd="admin:$2b$04$x\nci:$2b$12$x\n"), IMAGES, TEMPLATES, RECORD
    )
    rewritten = f"write {htpasswd}: its content is not as it should be"
    assert texts(custom, found) == [rewritten, f"write {mark}: it is missing"]
    assert texts(desire(), converged(custom)) == [
        rewritten,
        f"remove {mark}: its account's password is a generated one",
    ]


TWO = "admin:$2b$04$x\n---admin:$2b$04$y\n"
HTPASSWD = f"{layout.FOLDER}/{layout.HTPASSWD}"
MARK = f"{layout.FOLDER}/{layout.TWO_PASSWORDS}"
ENDED = [
    f"write {HTPASSWD}: former passwords are refused from now on",
    f"remove {MARK}: no account has a former password",
    "wait for 3 seconds: for requests that passed the gateway before it looked there",
    f"write {HTPASSWD}: each account needs only one entry again",
]


def test_a_next_password_is_known_to_the_registry_before_the_gateway_asks_for_it() -> None:
    two = layout.desire(Settings(), replace(SECRETS, htpasswd=TWO), IMAGES, TEMPLATES, RECORD)
    assert texts(two, converged(desire())) == [
        f"write {HTPASSWD}: its content is not as it should be",
        f"write {MARK}: it is missing",
    ]
    assert [step.text for step in registry.revoke(two)] == ENDED[:1]


def test_no_request_is_caught_between_two_passwords_and_one() -> None:
    two = layout.desire(Settings(), replace(SECRETS, htpasswd=TWO), IMAGES, TEMPLATES, RECORD)
    assert [step.text for step in registry.revoke(desire())] == ENDED
    assert texts(desire(), converged(two)) == ENDED
    first, *_, last = registry.steps(desire(), converged(two))
    assert (first.stdin, last.stdin) == ("---admin:$2b$04$x\nadmin:$2b$04$x\n", SECRETS.htpasswd)
    marked = replace(
        converged(desire()), paths={**converged(desire()).paths, MARK: converged(two).paths[MARK]}
    )
    assert texts(desire(), marked) == ENDED[1:2]


@pytest.mark.parametrize(
    ("told", "proven"),
    [("", False), ("-----CERT-----\nasked\n", True)],
    ids=["without openssl", "the new one"],
)
def test_a_new_certificate_is_proven_by_what_is_served(told: str, proven: bool) -> None:
    assert proof.check_proof(desire(), told) == proven


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        ("-----OTHER-----\nasked\n", "port 443 still serves another one"),
        ("asked\n", "port 443 does not answer to a handshake"),
    ],
)
def test_another_certificate_is_no_proof(told: str, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{problem}$"):
        proof.check_proof(desire(), told)


@pytest.mark.parametrize(
    ("listener", "holders", "problem"),
    [
        ("apache2 (pid 77)", (), "port 8443 is taken by apache2 (pid 77); stop that program, or set"),
        (
            "docker-proxy (pid 78)",
            ("traefik",),
            "port 8443 is taken by the container traefik; stop it (docker stop traefik), or set",
        ),
    ],
)
def test_a_taken_port_is_told_with_what_has_it(listener: str, holders: tuple[str, ...], problem: str) -> None:
    desired = desire(registry_port=8443)
    bare = RegistryHost(paths=converged(desired).paths, engine="running", listener=listener, holders=holders)
    with pytest.raises(Conflict) as raised:
        registry.check_port(8443, bare)
    assert str(raised.value).startswith(problem)


@pytest.mark.parametrize("spare", ["", "-next", "-former"])
def test_the_port_of_our_own_gateway_is_not_taken(spare: str) -> None:
    found = converged(desire())
    own = {f"{containers.GATEWAY}{spare}": found.containers[containers.GATEWAY]}
    busy = replace(found, listener="docker-proxy (pid 5)", containers=own)
    registry.check_port(443, busy)
    with pytest.raises(Conflict, match=r"^port 444 is taken by docker-proxy"):
        registry.check_port(444, busy)


def test_what_is_served_never_shows_in_a_command() -> None:
    bare = RegistryHost(paths=dict.fromkeys(layout.paths(Settings())))
    steps = registry.steps(desire(), bare)
    assert [step.stdin for step in steps[-2:]] == [SECRETS.authorization, None]
    for step in steps:
        for secret in (SECRETS.http_secret, SECRETS.key_pem.strip(), "$2b$04$x", SECRETS.authorization):
            assert secret not in step.script
            assert secret not in repr(step)
            assert secret not in step.text


def test_the_registry_s_configuration_says_what_the_settings_say() -> None:
    config = content(desire(registry_delete_enabled=False), layout.REGISTRY_CONFIG)
    told = yaml.safe_load(config)
    assert told["storage"]["delete"] == {"enabled": False}
    assert told["http"]["secret"] == "ab" * 32
    assert told["http"]["net"] == "unix"
    assert told["http"]["relativeurls"] is True
    assert told["auth"]["htpasswd"] == {"realm": "registry.homelab.local", "path": "/etc/registry/htpasswd"}


def test_a_change_of_a_setting_reaches_the_container_that_it_concerns() -> None:
    found = converged(desire())
    port = texts(desire(registry_port=5443), found)
    assert port == ["recreate the container homelab-registry-gateway: it was started in another way"]
    delete = texts(desire(registry_delete_enabled=False), found)
    both = {"gateway/nginx.conf": "homelab-registry-gateway", "registry/config.yml": "homelab-registry"}
    assert sorted(delete) == sorted(
        [f"write /etc/homelab-registry/{file}: its content is not as it should be" for file in both]
        + [f"recreate the container {name}: it was started in another way" for name in both.values()]
    )
    accounts: dict[str, Role] = {"cluster": "pull", "ops.2": "push"}
    found = converged(desire(), Settings(registry_accounts=accounts))
    assert texts(desire(registry_accounts=accounts), found) == [
        "write /etc/homelab-registry/gateway/nginx.conf: its content is not as it should be",
        "recreate the container homelab-registry-gateway: it was started in another way",
    ]


def content(desired: Desired, name: str) -> str:
    (file,) = (item for item in desired.files if isinstance(item, File) and item.path.endswith(name))
    return file.content
