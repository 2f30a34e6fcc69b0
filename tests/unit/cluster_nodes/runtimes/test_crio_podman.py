"""CRI-O and Podman: the CA for each name, and what in `registries.conf` switches its check off."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import replace

import pytest

from tasks.clients.mirrors import MARK, Mirror
from tasks.cluster_nodes.node import Node, NodeTarget
from tasks.cluster_nodes.runtimes import registries_drop_in
from tasks.cluster_nodes.runtimes.crio_podman import CERTS, Crio, Podman
from tasks.cluster_nodes.runtimes.registries_conf import CONFIG
from tasks.remote.files import Observed
from tasks.remote.steps import Conflict
from tasks.settings.load import Settings
from tests.unit.clients.test_mirrors import UPSTREAMS
from tests.unit.cluster_nodes.runtimes.test_containerd import CA

NAME = "registry.homelab.local:5443"
SETTINGS = Settings(registry_port=5443)
TARGET = NodeTarget(CA, "192.168.1.10", ["crio", "podman"])
MISSING = dict.fromkeys(Podman().paths([NAME]))
FOLDER = f"{CERTS}/{NAME}"
DROP_IN = "/etc/containers/registries.conf.d/x.conf"
FOLDERS = Observed("directory", "755", 0, 0, 1.0, 1, None)
FILE = Observed("regular file", "644", 0, 0, 1.0, 2, hashlib.sha256(CA.encode()).hexdigest())
CONVERGED = {
    **MISSING,
    CERTS: FOLDERS,
    FOLDER: FOLDERS,
    f"{FOLDER}/ca.crt": FILE,
}


def texts(observed: Mapping[str, Observed | None], **conf: str) -> list[str]:
    told = {{"main": CONFIG, "drop": DROP_IN}[key]: text for key, text in conf.items()}
    found = Node(paths=observed, texts=told)
    for_podman, for_crio = (runtime.steps(SETTINGS, TARGET, found) for runtime in (Podman(), Crio()))
    assert for_podman == for_crio
    return [step.text for step in for_podman]


def test_a_fresh_host_and_a_converged_one() -> None:
    assert texts(MISSING) == [
        f"make {CERTS}: it is missing",
        f"make {FOLDER}: it is missing",
        f"write {FOLDER}/ca.crt: it is missing",
    ]
    assert texts(CONVERGED) == []


def test_what_is_no_name_in_a_list_is_passed_over() -> None:
    assert texts(CONVERGED, main="[registries.insecure]\nregistries = [true, 5]\n") == []


@pytest.mark.parametrize(
    ("path", "observed", "text"),
    [
        (CERTS, replace(FOLDERS, mode="700"), f"set owner and mode of {CERTS}: its mode is 0700, not 0755"),
        (f"{FOLDER}/ca.crt", replace(FILE, sha256="x"),
         f"write {FOLDER}/ca.crt: its content is not as it should be"),
        (f"{FOLDER}/ca.crt", replace(FILE, mode="600"),
         f"set owner and mode of {FOLDER}/ca.crt: its mode is 0600, not 0644"),
    ],
)  # fmt: skip
def test_one_difference_is_one_step(path: str, observed: Observed, text: str) -> None:
    assert texts({**CONVERGED, path: observed}) == [text]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f'[[registry]]\nlocation = "{NAME}"\ninsecure = true\n', 2),
        (f'[[registry]]\nprefix = "{NAME}/team"\nlocation = "other"\ninsecure = true\n', 2),
        ("[[registry]]\nprefix = '*.homelab.local'\ninsecure = true\n", 2),
        ('[[registry]]\nlocation = "registry.homelab.local"\ninsecure = true\n', 2),
        (f'[[registry]]\nlocation = "{NAME}//"\ninsecure = true\n', 2),
        (f'[[registry]]\nlocation = "a.b"\n[[registry.mirror]]\nlocation = "{NAME}"\ninsecure = true\n', 4),
        (f'[registries.insecure]\nregistries = ["a.b",\n"{NAME}"]\n', 3),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("key", "path"), [("main", CONFIG), ("drop", DROP_IN)])
def test_a_registry_that_is_insecure_is_a_conflict(key: str, path: str, text: str, line: int) -> None:
    with pytest.raises(Conflict) as raised:
        texts(CONVERGED, **{key: text})
    assert raised.value.problem == (
        f"{path} line {line} switches the check of certificates off for {NAME} (insecure)"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f'[[registry]]\nlocation = "{NAME}"\nblocked = true\n', f"line 3 has {NAME} blocked"),
        (f'[registries.block]\nregistries = ["{NAME}"]\n', f"line 2 has {NAME} blocked"),
        ('[[registry]]\nlocation = "a.b"\n[[registry]]\nprefix = "*.homelab.local"\nblocked = true\n',
         f"line 5 has {NAME} blocked"),
        (f'[[registry]]\nlocation = "{NAME}"\n[[registry.mirror]]\nlocation = "a.b"\n',
         f"line 3 has a mirror for {NAME}, which would be asked first"),
        (f'[[registry]]\nlocation = "x.y"\n[[registry]]\nprefix = "{NAME}/team"\n# x\nlocation = "a.b/c"\n',
         f"line 6 leads {NAME} to another location"),
        (f'registry = [\n{{prefix = "{NAME}", location = "a.b"}}]\n', f"line 2 leads {NAME} to another location"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("key", "path"), [("main", CONFIG), ("drop", DROP_IN)])
def test_pulls_that_are_blocked_or_go_elsewhere_are_a_conflict(
    key: str, path: str, text: str, problem: str
) -> None:
    with pytest.raises(Conflict) as raised:
        texts(CONVERGED, **{key: text})
    assert raised.value.problem == f"{path} {problem}"


@pytest.mark.parametrize(
    "text",
    [
        f'[[registry]]\nlocation = "{NAME}"\nblocked = false\n',
        f'[[registry]]\nprefix = "{NAME}/team"\nlocation = "{NAME}/other"\n',
        # For what is named otherwise: our registry is only where it is kept.
        f'[[registry]]\nprefix = "a.b"\nlocation = "{NAME}/a"\n[[registry.mirror]]\nlocation = "c.d"\n',
        '[[registry]]\nlocation = "a.b"\nblocked = true\n[[registry.mirror]]\nlocation = "c.d"\n',
        f'unqualified-search-registries = ["docker.io"]\n[[registry]]\nlocation = "{NAME}"\ninsecure = false\n',
        '[[registry]]\nlocation = "a.b"\ninsecure = true\n',
        '[[registry]]\nlocation = "registry.homelab"\ninsecure = true\n',
        # What has the longest prefix counts.
        f'[[registry]]\nprefix = "*.homelab.local"\ninsecure = true\n[[registry]]\nlocation = "{NAME}"\n',
        # Nothing is pulled through it.
        f'[[registry]]\nlocation = "a.b"\nblocked = true\n[[registry.mirror]]\nlocation = "{NAME}"\ninsecure = true\n',
        '[[registry]]\nprefix = "*.lab.local"\ninsecure = true\n',
        "registry = 1\nregistries = 2\n",
        "registry = [1, {mirror = 2, insecure = true}]\n",
    ],
)
def test_settings_that_are_no_conflict(text: str) -> None:
    assert texts(CONVERGED, main=text) == []


def test_an_entry_in_a_drop_in_replaces_that_of_its_prefix() -> None:
    insecure = f'[[registry]]\nlocation = "{NAME}"\ninsecure = true\n'
    secure = insecure.replace("true", "false")
    assert texts(CONVERGED, main=insecure, drop=secure) == []
    with pytest.raises(Conflict, match=f"^{DROP_IN} line 2 switches"):
        texts(CONVERGED, main=secure, drop=insecure)


def test_a_folder_in_root_s_home_is_a_conflict() -> None:
    path = f"/root/.config/containers/certs.d/{NAME}"
    assert path in Podman().paths([NAME])
    with pytest.raises(Conflict) as raised:
        texts({**CONVERGED, path: FOLDERS})
    assert raised.value.problem == f"{path} is looked up before {FOLDER} when root pulls, and is not ours"


@pytest.mark.parametrize("path", ["/etc/crio/crio.conf", "/etc/crio/crio.conf.d/10-x.conf"])
@pytest.mark.parametrize("name", [NAME, "192.168.1.0/24", "0.0.0.0/0"])
def test_insecure_registries_of_crio_are_a_conflict(name: str, path: str) -> None:
    text = f'[crio.image]\ninsecure_registries = ["a.b", "10.0.0.0/8", "a/b",\n"{name}"]\n'
    with pytest.raises(Conflict) as raised:
        Crio().steps(SETTINGS, TARGET, Node(paths=CONVERGED, texts={path: text}))
    assert raised.value.problem == (
        f'{path} line 3 has "{name}" in insecure_registries, so CRI-O checks no certificate of {NAME}'
    )
    no_names = [{path: text.replace(name, each)} for each in ("c.d", f"{NAME}/team", "*.homelab.local")]
    for others in (*no_names, {CONFIG: text}):
        assert Crio().steps(SETTINGS, TARGET, Node(paths=CONVERGED, texts=others)) == []
    assert Podman().steps(SETTINGS, TARGET, Node(paths=CONVERGED, texts={path: text})) == []


def test_a_broken_file_is_a_conflict() -> None:
    with pytest.raises(Conflict, match=f"^{DROP_IN} line 2 is not TOML"):
        texts(CONVERGED, drop="a = 1\nb =\n")


# Caches.

MIRROR = "mirror.homelab.local:5443"
CACHES = Mirror(MIRROR, UPSTREAMS)
OURS = registries_drop_in.PATH
RELOADED = "\nsystemctl reload crio.service: it is to read that"


def with_caches(used: Mirror = CACHES) -> Node:
    """A host that has the caches."""
    looked_at = Podman().paths([NAME, used.endpoint])
    text = registries_drop_in.text(used)
    there = replace(FILE, sha256=hashlib.sha256(text.encode()).hexdigest())
    ours = {f"{CERTS}/{used.endpoint}": FOLDERS, f"{CERTS}/{used.endpoint}/ca.crt": FILE, OURS: there}
    paths = {**dict.fromkeys(looked_at), **CONVERGED, **ours, registries_drop_in.FOLDER: FOLDERS}
    return Node(paths=paths, texts={OURS: text})


def cached(found: Node, used: Mirror | None) -> list[str]:
    paths = {**dict.fromkeys(Podman().paths([NAME, MIRROR])), **found.paths}
    target = replace(TARGET, mirror=used)
    return [step.text for step in Podman().steps(SETTINGS, target, replace(found, paths=paths))]


def test_caches_are_mirrors_in_a_drop_in_that_says_where_the_registry_is() -> None:
    assert tomllib.loads(registries_drop_in.text(CACHES)) == {
        "registry": [
            {"prefix": name, "location": name, "mirror": [{"location": f"{MIRROR}/{name}"}]}
            for name in ("docker.io", "ghcr.io")
        ]
    }
    folder = f"{CERTS}/{MIRROR}"
    missing = [
        f"make {folder}: it is missing",
        f"write {folder}/ca.crt: it is missing",
        f"make {registries_drop_in.FOLDER}: it is missing",
        f"write {OURS}: it is missing",
    ]
    assert cached(Node(paths=CONVERGED), CACHES) == missing
    assert cached(Node(paths=CONVERGED, started={"crio.service": 1.0}), CACHES) == [
        *missing[:-1], missing[-1] + RELOADED
    ]  # fmt: skip


def test_caches_that_are_there_need_nothing_and_go_if_they_are_not_used() -> None:
    found = with_caches()
    assert cached(found, CACHES) == []
    removed = [
        f"remove {CERTS}/{MIRROR}/ca.crt: this host uses no such cache any more",
        f"remove {OURS}: this host uses no caches any more",
    ]
    assert cached(found, None) == removed
    assert cached(replace(found, started={"crio.service": 1.0}), None) == [removed[0], removed[1] + RELOADED]
    changed = f"write {OURS}: its content is not as it should be"
    assert cached(found, Mirror(MIRROR, UPSTREAMS[1:])) == [changed]
    former = with_caches(Mirror("mirror.home.arpa", UPSTREAMS))
    gone = f"remove {CERTS}/mirror.home.arpa/ca.crt: this host uses no such cache any more"
    assert [text for text in cached(former, CACHES) if MIRROR not in text] == [gone, changed]


def test_a_file_of_the_user_s_with_our_drop_in_s_name_stays() -> None:
    found = Node(paths={**CONVERGED, OURS: FILE}, texts={OURS: "# mine\n"})
    assert cached(found, None) == []
    with pytest.raises(Conflict, match=f"{OURS} line 1 is not ours"):
        cached(found, CACHES)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[[registry]]\nprefix = "docker.io"\nlocation = "cache.lan/hub"\n', 2),
        ('[[registry]]\nlocation = "docker.io"\n[[registry.mirror]]\nlocation = "cache.lan"\n', 2),
        ('[[registry]]\nlocation = "a.b"\n[[registry]]\nprefix = "*.io"\nblocked = true\n', 4),
        ('[registries.block]\nregistries = ["docker.io"]\n', 2),
    ],
)
def test_where_the_user_says_an_upstream_is_is_quoted(text: str, line: int) -> None:
    found = Node(paths=CONVERGED, texts={DROP_IN: text})
    with pytest.raises(Conflict) as raised:
        cached(found, CACHES)
    assert raised.value.problem == (
        f"{DROP_IN} line {line} says where docker.io is, which a cache of it would replace"
    )
    assert raised.value.remedy.startswith("take that out, or docker.io out of registry_caches")
    assert cached(found, None) == []


@pytest.mark.parametrize(
    "text",
    [
        'unqualified-search-registries = ["docker.io"]\n',
        '[[registry]]\nprefix = "docker.io/library"\nlocation = "cache.lan"\n',
        '[[registry]]\nprefix = "quay.io"\nblocked = true\n',
        f'{MARK}\n',
    ],
)  # fmt: skip
def test_what_the_user_says_of_others_is_no_conflict(text: str) -> None:
    found = with_caches()
    assert cached(replace(found, texts={**found.texts, DROP_IN: text}), CACHES) == []


def test_root_s_own_registries_conf_hides_our_drop_in() -> None:
    found = with_caches()
    found = replace(found, paths={**found.paths, registries_drop_in.ROOTS: FILE})
    with pytest.raises(Conflict, match="is read instead of"):
        cached(found, CACHES)
    assert cached(found, None)


def test_cri_o_has_to_check_the_certificate_of_the_caches_too() -> None:
    text = f'[crio.image]\ninsecure_registries = ["{MIRROR}"]\n'
    found = with_caches()
    found = replace(found, texts={**found.texts, "/etc/crio/crio.conf": text})
    with pytest.raises(Conflict, match=f"line 2 .* so CRI-O checks no certificate of {MIRROR}"):
        Crio().steps(SETTINGS, replace(TARGET, mirror=CACHES), found)
    assert Crio().steps(SETTINGS, TARGET, found)
