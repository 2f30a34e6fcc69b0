"""CRI-O and Podman: the CA for each name, and what in `registries.conf` switches its check off."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import pytest

from tasks.cluster_nodes.node import Node, NodeTarget
from tasks.cluster_nodes.runtimes.crio_podman import CERTS, Crio, Podman
from tasks.cluster_nodes.runtimes.registries_conf import CONFIG
from tasks.remote.files import Observed
from tasks.remote.steps import Conflict
from tasks.settings.load import Settings
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
