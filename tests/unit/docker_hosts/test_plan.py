"""What a Docker host gets: the CA for each name, and an entry for the names; and what the user has that conflicts."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tasks.accounts.logins import Login
from tasks.certificates import ca
from tasks.clients import system_trust
from tasks.clients.hosts_file import HostsFile
from tasks.clients.plan import ClientHost
from tasks.docker_hosts import plan as docker_hosts
from tasks.docker_hosts.engines import SNAP, DockerHost, Engine
from tasks.docker_hosts.logins import Home
from tasks.docker_hosts.plan import DockerTarget
from tasks.remote.files import Observed
from tasks.remote.steps import Conflict, Step
from tasks.remote.users import User
from tasks.settings.load import Settings

NOW = dt.datetime.now(dt.UTC)
CA, OLDER_CA = (ca.make_authority(["registry.homelab.local"], 3650, NOW).certificate_pem for _ in range(2))
ADDRESS = "192.168.1.10"
CERTS = "/etc/docker/certs.d"
FOLDER = f"{CERTS}/registry.homelab.local"
FILE = f"{FOLDER}/ca.crt"
HOSTS, RESCUE = "/etc/hosts", "/etc/.hosts.homelab-rescue"
LOCALHOST = "127.0.0.1 localhost\n"
ENTRY = f"{ADDRESS} registry.homelab.local # homelab-registry\n"
DIRECTORY = Observed("directory", "755", 0, 0, 1.0, 1, None)
EXTRA = {
    "registry_port": 5443,
    "registry_extra_names": ["images.homelab.local", "192.168.1.11", "fd00::1"],
}
EXTRA_FOLDERS = [
    f"{CERTS}/registry.homelab.local:5443",
    f"{CERTS}/images.homelab.local:5443",
    f"{CERTS}/192.168.1.11:5443",
    f"{CERTS}/[fd00::1]:5443",
]


def file(pem: str = CA) -> Observed:
    return Observed("regular file", "644", 0, 0, 1.0, 2, hashlib.sha256(pem.encode()).hexdigest())


def fresh(**settings: Any) -> DockerHost:
    """A host without anything of ours."""
    paths = dict.fromkeys(docker_hosts.paths(Settings(**settings)))
    return DockerHost(paths, client=ClientHost(HostsFile(LOCALHOST)))


def converged(pem: str = CA, entry: str = ENTRY, **settings: Any) -> DockerHost:
    """A host that has everything, with this certificate."""
    found = fresh(**settings)
    files = docker_hosts.ca_files(Settings(**settings))
    there = {path: file(pem) for path in files}
    folders = {path: DIRECTORY for path in found.paths if not path.endswith((".crt", ".homelab-new", "_"))}
    return replace(
        found,
        paths={**found.paths, **folders, **there},
        texts=dict.fromkeys(files, pem),
        client=ClientHost(HostsFile(LOCALHOST + entry)),
    )


def with_text(found: DockerHost, path: str, text: str) -> DockerHost:
    if path == HOSTS:
        return replace(found, client=ClientHost(replace(found.client.hosts, text=text)))
    if path == RESCUE:
        return replace(found, client=ClientHost(replace(found.client.hosts, rescue=text)))
    return replace(found, texts={**found.texts, path: text})


def on_mount(found: DockerHost, mount: bool = True) -> DockerHost:
    return replace(found, client=ClientHost(replace(found.client.hosts, is_mount=mount)))


def steps(found: DockerHost, **settings: Any) -> list[Step]:
    planned = docker_hosts.steps(Settings(**settings), DockerTarget(CA, ADDRESS), found)
    for refused in planned.refused.values():
        raise refused
    return planned.steps


def texts(found: DockerHost, **settings: Any) -> list[str]:
    return [step.text for step in steps(found, **settings)]


def on(path: str, observed: Observed | None) -> DockerHost:
    """A converged host with something else at one path."""
    found = converged()
    assert path in found.paths
    return replace(found, paths={**found.paths, path: observed})


def stop(found: DockerHost, **settings: Any) -> tuple[str, str]:
    with pytest.raises(Conflict) as raised:
        steps(found, **settings)
    return raised.value.problem, raised.value.remedy


# Which paths.


@pytest.mark.parametrize(
    ("settings", "folders"),
    [
        ({}, [FOLDER]),
        ({"registry_port": 5443}, [f"{FOLDER}:5443"]),
        ({"registry_extra_names": ["fd00::1", "a.b"]}, [FOLDER, f"{CERTS}/[fd00::1]", f"{CERTS}/a.b"]),
        (EXTRA, EXTRA_FOLDERS),
    ],
)
def test_each_name_and_port_has_a_folder_and_all_paths_are_requested(
    settings: dict[str, Any], folders: list[str]
) -> None:
    given = Settings(**settings)
    assert docker_hosts.ca_files(given) == [f"{folder}/ca.crt" for folder in folders]
    assert docker_hosts.paths(given) == [
        CERTS,
        *folders,
        *(f"{folder}/ca.crt" for folder in folders),
        *(f"{folder}/.ca.crt.homelab-new" for folder in folders),
        *(f"{folder.removesuffix(':5443')}_5443_" for folder in folders if folder.endswith(":5443")),
    ]


# Fresh and converged.


def test_a_fresh_host_gets_folders_then_the_ca_then_the_entry() -> None:
    found = steps(fresh())
    assert [step.text for step in found] == [
        f"make {CERTS}: it is missing",
        f"make {FOLDER}: it is missing",
        f"write {FILE}: it is missing",
        "write /etc/hosts: our entry is missing",
    ]
    assert [step.stdin for step in found] == [None, None, CA, LOCALHOST + ENTRY]
    assert [step.writes for step in found] == [False, False, True, True]
    assert "chmod 0644 " in found[2].script
    assert "chown 0:0 " in found[2].script


def test_extra_names_and_ports_get_folders_of_their_own_and_only_names_an_entry() -> None:
    found = steps(fresh(**EXTRA), **EXTRA)
    made = [(f"make {each}: it is missing", f"write {each}/ca.crt: it is missing") for each in EXTRA_FOLDERS]
    assert [step.text for step in found] == [
        f"make {CERTS}: it is missing",
        *(text for pair in made for text in pair),
        "write /etc/hosts: our entry is missing",
    ]
    assert found[-1].stdin == (
        f"{LOCALHOST}{ADDRESS} registry.homelab.local images.homelab.local # homelab-registry\n"
    )
    # Brackets are a pattern for the shell.
    bracketed = shlex.quote(f"{CERTS}/[fd00::1]:5443")
    assert bracketed.startswith("'")
    assert f"mkdir -p {bracketed} && chown 0:0 {bracketed} && chmod 0755 {bracketed}" in found[7].script


@pytest.mark.parametrize("rescued", [True, False])
@pytest.mark.parametrize("mount", [True, False])
@pytest.mark.parametrize("settings", [{}, EXTRA, {"registry_manage_hosts_file": False}])
def test_a_host_that_has_everything_needs_nothing(
    settings: dict[str, Any], mount: bool, rescued: bool
) -> None:
    entry = ENTRY
    if settings == EXTRA:
        entry = f"{ADDRESS} registry.homelab.local images.homelab.local # homelab-registry\n"
    elif settings:
        entry = ""
    found = converged(entry=entry, **settings)
    found = on_mount(found, mount)
    found = with_text(found, RESCUE, "old") if rescued else found
    left = ["remove /etc/.hosts.homelab-rescue: a run was killed while writing /etc/hosts"]
    assert texts(found, **settings) == (left if rescued else [])


# Drift, one by one.


@pytest.mark.parametrize(
    ("path", "observed", "text"),
    [
        (CERTS, None, f"make {CERTS}: it is missing"),
        (CERTS, replace(DIRECTORY, mode="700"),
         f"set owner and mode of {CERTS}: its mode is 0700, not 0755"),
        (CERTS, replace(DIRECTORY, owner=7),
         f"set owner and mode of {CERTS}: it belongs to 7:0, not 0:0"),
        (FOLDER, None, f"make {FOLDER}: it is missing"),
        (FOLDER, replace(DIRECTORY, mode="1777"),
         f"set owner and mode of {FOLDER}: its mode is 1777, not 0755"),
        (FOLDER, replace(DIRECTORY, group=8),
         f"set owner and mode of {FOLDER}: it belongs to 0:8, not 0:0"),
        (FILE, None, f"write {FILE}: it is missing"),
        (FILE, replace(file(), sha256=None), f"write {FILE}: its content is not as it should be"),
        (FILE, replace(file(""), kind="regular empty file"),
         f"write {FILE}: its content is not as it should be"),
        (FILE, replace(file(), mode="600"), f"set owner and mode of {FILE}: its mode is 0600, not 0644"),
        (FILE, replace(file(), mode="600", owner=1000, group=1001),
         f"set owner and mode of {FILE}: its mode is 0600, not 0644, it belongs to 1000:1001, not 0:0"),
        (f"{FOLDER}/.ca.crt.homelab-new", file(),
         f"remove {FOLDER}/.ca.crt.homelab-new: a run was killed while writing it"),
    ],
)  # fmt: skip
def test_one_difference_is_one_step(path: str, observed: Observed | None, text: str) -> None:
    assert texts(on(path, observed)) == [text]


@pytest.mark.parametrize(
    ("path", "kind", "ours"),
    [(CERTS, "regular file", "folder"), (FOLDER, "symbolic link", "folder"), (FILE, "directory", "file"),
     (FILE, "symbolic link", "file")],
)  # fmt: skip
def test_something_else_at_a_path_of_ours_is_a_conflict(path: str, kind: str, ours: str) -> None:
    assert stop(on(path, replace(DIRECTORY, kind=kind))) == (
        f"{path} is a {kind}, but this project keeps a {ours} there",
        f"move it away (mv {path} {path}.old) and run again",
    )


def test_another_port_leaves_the_old_folder_alone() -> None:
    found = with_text(fresh(registry_port=5443), HOSTS, LOCALHOST + ENTRY)
    found = replace(found, paths={**found.paths, CERTS: DIRECTORY})
    assert texts(found, registry_port=5443) == [
        f"make {FOLDER}:5443: it is missing",
        f"write {FOLDER}:5443/ca.crt: it is missing",
    ]


# The certificate that is there.


def foreign(*names: tuple[x509.ObjectIdentifier, str]) -> str:
    """Another authority's certificate, made with nothing of ours."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in names])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
        .decode()
    )


THEIRS = foreign((NameOID.ORGANIZATION_NAME, "Example Corp"), (NameOID.COMMON_NAME, "Root R1"))
LOOKS_LIKE_OURS = foreign(
    (NameOID.ORGANIZATION_NAME, "Example"), (NameOID.COMMON_NAME, "Homelab Registry CA 00")
)


@pytest.mark.parametrize(
    ("texts_there", "subject"),
    [
        ([THEIRS], "CN=Root R1,O=Example Corp"),
        ([CA, THEIRS], "CN=Root R1,O=Example Corp"),
        ([OLDER_CA, LOOKS_LIKE_OURS, THEIRS], "CN=Homelab Registry CA 00,O=Example"),
        (["# our company's\n", THEIRS], "CN=Root R1,O=Example Corp"),
    ],
    ids=["alone", "beside ours", "two", "with a comment"],
)
@pytest.mark.parametrize("settings", [{}, EXTRA])
def test_another_authority_s_certificate_is_not_overwritten(
    settings: dict[str, Any], texts_there: Sequence[str], subject: str
) -> None:
    path = docker_hosts.ca_files(Settings(**settings))[-1]
    pem = "".join(texts_there)
    found = converged(**settings)
    found = with_text(replace(found, paths={**found.paths, path: file(pem)}), path, pem)
    assert stop(found, **settings) == (
        f"{path} holds a certificate of another authority ({subject})",
        f"move it away (mv {path} {path}.old) and run again",
    )


@pytest.mark.parametrize(
    "pem",
    [OLDER_CA, CA + OLDER_CA, CA[:-30], "", "\n", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"],
    ids=["an older one", "two", "cut", "empty", "blank", "no certificate"],
)  # fmt: skip
def test_our_own_older_or_damaged_one_is_replaced(pem: str) -> None:
    (step,) = steps(converged(pem))
    assert step.text == f"write {FILE}: its content is not as it should be"
    assert step.stdin == CA


# The entry.


def test_the_entry_of_an_older_address_is_fixed() -> None:
    found = converged(entry="192.168.1.9 registry.homelab.local # homelab-registry\n")
    (step,) = steps(found)
    assert step.text == "write /etc/hosts: our entry is not as it should be"
    assert step.stdin == LOCALHOST + ENTRY


@pytest.mark.parametrize(
    ("mount", "way"),
    [
        (
            True,
            'cat /etc/.hosts.homelab-rescue > "$file" && sync "$file" && rm -f /etc/.hosts.homelab-rescue',
        ),
        (
            False,
            'mv -fT "$new" "$file" && rm -f /etc/.hosts.homelab-rescue && { sync /etc 2>/dev/null || sync; }',
        ),
    ],
)
def test_a_file_that_is_a_mount_is_written_in_place(mount: bool, way: str) -> None:
    (step,) = steps(on_mount(converged(entry=""), mount))
    assert step.text == "write /etc/hosts: our entry is missing"
    assert step.script.endswith(way)


def test_a_write_that_was_killed_goes_on_from_the_rescued_text() -> None:
    whole = LOCALHOST + "10.0.0.5 printer\n" + ENTRY
    found = with_text(with_text(on_mount(converged()), HOSTS, LOCALHOST[:7]), RESCUE, whole)
    (step,) = steps(found)
    assert step.text == "write /etc/hosts: a run was killed while writing it"
    assert step.stdin == whole


def test_a_line_of_the_user_s_with_another_address_is_quoted() -> None:
    found = with_text(converged(), HOSTS, LOCALHOST + "10.0.0.9 registry.homelab.local\n")
    assert stop(found) == (
        "/etc/hosts line 2 gives registry.homelab.local another address than 192.168.1.10: "
        "'10.0.0.9 registry.homelab.local'",
        "remove that line, or set registry_address to 10.0.0.9 if it is right, and run again",
    )


@pytest.mark.parametrize("theirs", ["", "10.0.0.9 registry.homelab.local\n"])
def test_if_the_file_is_not_managed_our_entry_is_removed(theirs: str) -> None:
    found = with_text(converged(), HOSTS, LOCALHOST + ENTRY + theirs)
    (step,) = steps(found, registry_manage_hosts_file=False)
    assert step.text == "write /etc/hosts: our entry is no longer wanted"
    assert step.stdin == LOCALHOST + theirs
    without = with_text(found, HOSTS, LOCALHOST + theirs)
    assert texts(without, registry_manage_hosts_file=False) == []


# Other engines of the host.

CI = User("ci", 1000, 1001, "/home/ci")
ROOTLESS = Engine("/home/ci/.config/docker", "/home/ci/.config/docker/daemon.json", CI)
SNAP_ENGINE = Engine(*SNAP)


def with_engine(engine: Engine, found: DockerHost | None = None) -> DockerHost:
    found = found or converged()
    more = dict.fromkeys(docker_hosts.paths(Settings(), engine.folder))
    return replace(found, paths={**found.paths, **more}, engines=[*found.engines, engine])


@pytest.mark.parametrize("engine", [ROOTLESS, SNAP_ENGINE])
def test_each_engine_of_a_host_is_given_the_ca_where_it_looks(engine: Engine) -> None:
    folder = f"{engine.folder}/certs.d"
    found = steps(with_engine(engine))
    assert [step.text for step in found] == [
        f"make {folder}: it is missing",
        f"make {folder}/registry.homelab.local: it is missing",
        f"write {folder}/registry.homelab.local/ca.crt: it is missing",
    ]
    assert found[2].stdin == CA
    owner = "1000:1001" if engine.user else "0:0"
    assert all(f"chown {owner} " in step.script for step in found)
    assert all(("run_as 1000 1001 ci /home/ci " in step.script) is bool(engine.user) for step in found)


@pytest.mark.parametrize("engine", [ROOTLESS, SNAP_ENGINE])
def test_conflicts_are_found_for_each_engine(engine: Engine) -> None:
    found = with_engine(engine)
    insecure = with_text(found, engine.configuration, '{"insecure-registries": ["registry.homelab.local"]}')
    assert stop(insecure)[0].startswith(f"{engine.configuration} line 1 has ")
    path = f"{engine.folder}/certs.d/registry.homelab.local/hosts.toml"
    assert stop(with_text(found, path, "x = 1"))[0].startswith(f"{path} exists, ")
    path = f"{engine.folder}/certs.d/registry.homelab.local/ca.crt"
    assert stop(with_text(found, path, THEIRS))[0].startswith(
        f"{path} holds a certificate of another authority"
    )


def test_everything_comes_in_one_order() -> None:
    """The CA, the name, the system's trust store, the users; a conflict with the last stops the first."""
    home = Home(CI, {"/home/ci/.docker": "/home/ci/.docker/config.json"}, {
        CI.home: DIRECTORY, "/home/ci/.docker": None, "/home/ci/.docker/config.json": None,
        "/home/ci/.docker/.config.json.homelab-new": None,
    })  # fmt: skip
    store = system_trust.TrustStore(dict.fromkeys(system_trust.paths(system_trust.DEBIAN)))
    found = replace(fresh(), homes={"ci": home}, client=ClientHost(HostsFile(LOCALHOST), store=store))
    wanted = DockerTarget(CA, ADDRESS, {"ci": Login("cluster", "secret")}, system_trust.DEBIAN)
    made = docker_hosts.steps(Settings(), wanted, found).steps
    assert [step.text.partition(":")[0] for step in made] == [
        f"make {CERTS}", f"make {FOLDER}", f"write {FILE}", "write /etc/hosts",
        "write /usr/local/share/ca-certificates/homelab-registry.crt", "refresh /etc/ssl/certs/ca-certificates.crt",
        "make /home/ci/.docker", "write /home/ci/.docker/config.json",
    ]  # fmt: skip
    with pytest.raises(Conflict):
        docker_hosts.steps(Settings(), wanted, replace(found, homes={"ci": None}))


def test_each_user_gets_the_login_of_their_account() -> None:
    homes = {}
    for uid, name in enumerate(("alice", "deploy"), 1001):
        home = f"/home/{name}"
        paths = [
            home,
            f"{home}/.docker",
            f"{home}/.docker/config.json",
            f"{home}/.docker/.config.json.homelab-new",
        ]
        homes[name] = Home(
            User(name, uid, uid, home), {paths[1]: paths[2]}, {**dict.fromkeys(paths), home: DIRECTORY}
        )
    logins = {"alice": Login("cluster", "secret"), "deploy": Login("ci", "another")}
    made = docker_hosts.steps(
        Settings(), DockerTarget(CA, ADDRESS, logins), replace(converged(), homes=homes)
    ).steps
    written = [step for step in made if step.stdin]
    for step, (user, login) in zip(written, logins.items(), strict=True):
        assert step.text.startswith(f"write /home/{user}/.docker/config.json: {user} has no login for ")
        assert json.loads(step.stdin or "")["auths"] == {"registry.homelab.local": {"auth": login.auth}}


def test_what_a_user_gets_wrong_is_refused_alone() -> None:
    """An engine that is not understood, and another user's login that is not: all else is done."""
    other = User("other", 1002, 1002, "/home/other")
    insecure = '{"insecure-registries": ["registry.homelab.local"]}'
    found = with_engine(ROOTLESS, fresh())
    found = replace(
        found, homes={"other": Home(other, unread="no answer in 60 s"), "ci": Home(CI, paths={CI.home: None})}
    )
    wanted = DockerTarget(CA, ADDRESS, dict.fromkeys(("other", "ci"), Login("cluster", "secret")))
    for text, said in (("{", "line 1 is not JSON"), (insecure, "line 1 has")):
        broken = with_text(found, ROOTLESS.configuration, text)
        planned = docker_hosts.steps(Settings(), wanted, broken)
        assert {step.text for step in planned.steps} == set(texts(fresh()))
        assert list(planned.refused) == ["ci", "other"]
        assert said in planned.refused["ci"].problem
        assert planned.refused["other"].problem == "the login of other could not be read (no answer in 60 s)"
    unread = replace(found, unread={ROOTLESS.folder: "more than 8 MiB"})
    refused = docker_hosts.steps(Settings(), wanted, unread).refused["ci"]
    assert refused.problem == f"what is in {ROOTLESS.folder} could not be read (more than 8 MiB)"
    with pytest.raises(Conflict, match=r"^/etc/docker/daemon.json line 1 is not JSON"):
        docker_hosts.steps(Settings(), wanted, with_text(found, "/etc/docker/daemon.json", "{"))
