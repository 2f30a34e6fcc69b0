"""The login of a node itself: which file it goes to, and what of the user's is in the way."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest

from tasks.accounts.logins import Login
from tasks.cluster_nodes import logins as node_logins
from tasks.cluster_nodes.logins import KUBELET, PODMAN
from tasks.cluster_nodes.runtimes.table import RUNTIMES
from tasks.remote import files
from tasks.remote.files import Observed
from tasks.remote.steps import Conflict, Step

NAMES = ("registry.homelab.local", "images.homelab.local:5443")
LOGIN = Login("cluster", "a password")
AUTH = b64encode(b"cluster:a password").decode()
COMPLETE = json.dumps({"auths": {name: {"auth": AUTH} for name in NAMES}})
FOLDER, FILE = (
    Observed(kind, mode, 0, 0, 1.0, 1, None) for kind, mode in (("directory", "755"), ("regular file", "600"))
)


def steps(*runtimes: str, texts: dict[str, str] | None = None, **observed: Observed) -> list[Step]:
    """Return the steps for a host with these texts; `observed` replaces what is at `kubelet` or `podman`."""
    paths: dict[str, Observed | None] = dict.fromkeys(files.observed_paths([KUBELET, PODMAN]))
    paths |= dict.fromkeys(texts or {}, FILE) | {path.rpartition("/")[0]: FOLDER for path in texts or {}}
    paths |= {{"kubelet": KUBELET, "podman": PODMAN}[name]: found for name, found in observed.items()}
    login_files = [path for name in runtimes if (path := RUNTIMES[name].login_file)]
    return node_logins.steps(login_files, NAMES, LOGIN, paths, texts or {})


@pytest.mark.parametrize(
    ("runtimes", "path"),
    [(["containerd"], KUBELET), (["crio"], KUBELET), (["crio", "containerd"], KUBELET), (["podman"], PODMAN)],
)
def test_each_runtime_has_its_file(runtimes: list[str], path: str) -> None:
    made, written = steps(*runtimes)
    assert made.text == f"make {path.rpartition('/')[0]}: it is missing"
    assert written.text == f"write {path}: it is missing"
    assert json.loads(written.stdin or "") == json.loads(COMPLETE)
    assert written.script.startswith("umask 077;")
    assert AUTH not in written.script + written.text + repr(written)


def test_k3s_and_rke2_keep_theirs_in_registries_yaml() -> None:
    assert steps("k3s", "rke2") == []


def test_a_node_with_both_gets_both() -> None:
    texts = [step.text for step in steps("containerd", "podman", texts={KUBELET: COMPLETE})]
    assert texts == [f"make {PODMAN.rpartition('/')[0]}: it is missing", f"write {PODMAN}: it is missing"]


def test_a_node_with_the_login_needs_nothing() -> None:
    assert steps("containerd", texts={KUBELET: COMPLETE}) == []


@pytest.mark.parametrize(
    "wrong", [COMPLETE.replace(AUTH, "eDp5", 1), "{}", '{"auths": {"ghcr.io": {"auth": "eDp5"}}}']
)
def test_a_wrong_login_is_fixed_and_the_rest_stays(wrong: str) -> None:
    (written,) = steps("containerd", texts={KUBELET: wrong})
    assert written.text == f"write {KUBELET}: the node's login is not as it should be"
    others = {name: entry for name, entry in json.loads(wrong).get("auths", {}).items() if name not in NAMES}
    assert json.loads(written.stdin or "")["auths"] == others | json.loads(COMPLETE)["auths"]


def test_the_mode_of_a_readable_file_is_fixed() -> None:
    wide = Observed("regular file", "644", 0, 0, 1.0, 1, None)
    (step,) = steps("containerd", texts={KUBELET: COMPLETE}, kubelet=wide)
    assert (step.text, step.script) == (
        f"set mode of {KUBELET}: it is 0644, and holds a password",
        f"chmod 0600 {KUBELET}",
    )


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"kubelet": Observed("symbolic link", "777", 0, 0, 1.0, 1, None)},
         f"{KUBELET} is a symbolic link, where a file is needed"),
        ({"texts": {KUBELET: '{\n "credsStore": "pass"}'}},
         f"{KUBELET} line 2 has docker-credential-pass keep the logins, which wins over an entry there"),
    ],
)  # fmt: skip
def test_conflicts(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(Conflict) as raised:
        steps("containerd", **given)
    assert raised.value.problem == problem
