"""The caches as mirrors in a `registries.yaml` of the user's: added and removed, and all else as it was."""

from __future__ import annotations

import pytest
import yaml

from tasks.clients.mirrors import Mirror
from tasks.cluster_nodes.runtimes import registries_mirrors
from tasks.remote.steps import Conflict
from tests.unit.clients.test_mirrors import UPSTREAMS
from tests.unit.cluster_nodes.runtimes.test_registries_yaml import CA, PATH, USER

MIRROR = "mirror.homelab.local:5443"
CACHES = Mirror(MIRROR, UPSTREAMS)
ONE = Mirror(MIRROR, UPSTREAMS[1:])
OURS = f'  "{MIRROR}": # homelab-registry cache\n    tls:\n      ca_file: {CA}\n'
HUB, GHCR = (
    f'  "{name}": # homelab-registry cache\n    endpoint:\n      - "https://{MIRROR}"\n'
    for name in ("docker.io", "ghcr.io")
)
ADDED = f"configs: # homelab-registry cache\n{OURS}mirrors: # homelab-registry cache\n"


def merge(text: str, used: Mirror | None = ONE) -> str:
    return registries_mirrors.merge(text, used, CA, PATH)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"{ADDED}{GHCR}"),
        ("# mine\n", f"# mine\n{ADDED}{GHCR}"),
        (
            "configs:\n  a.b:\n    auth:\n      username: x\n",
            f"configs:\n{OURS}  a.b:\n    auth:\n      username: x\nmirrors: # homelab-registry cache\n{GHCR}",
        ),
        (
            "mirrors: # mine\n  quay.io:\n    endpoint: [https://q]\nx: 1\n",
            f"mirrors: # mine\n{GHCR}  quay.io:\n    endpoint: [https://q]\nx: 1\nconfigs: # homelab-registry cache\n{OURS}",
        ),
        ('mirrors:\n  "*":\n', f'mirrors:\n{GHCR}  "*":\nconfigs: # homelab-registry cache\n{OURS}'),
        ("mirrors:\nconfigs:\n", f"mirrors:\n{GHCR}configs:\n{OURS}"),
        (
            "mirrors:\n    quay.io:\n        endpoint: [q]\n",
            "mirrors:\n"
            + "".join(f"  {line}\n" for line in GHCR.splitlines())
            + f"    quay.io:\n        endpoint: [q]\nconfigs: # homelab-registry cache\n{OURS}",
        ),
        ("a: 1\r\n", f"a: 1\n{ADDED}{GHCR}".replace("\n", "\r\n")),
    ],
)
def test_caches_are_added_and_taken_back_to_the_byte(before: str, after: str) -> None:
    assert merge(before) == after
    assert merge(after) == after
    assert merge(after, None) == before


def test_what_is_ours_says_what_k3s_needs() -> None:
    says = yaml.safe_load(merge("", CACHES))
    assert says == {
        "configs": {MIRROR: {"tls": {"ca_file": CA}}},
        "mirrors": {name: {"endpoint": [f"https://{MIRROR}"]} for name in ("docker.io", "ghcr.io")},
    }
    assert registries_mirrors.names(merge("", CACHES), PATH) == ["ghcr.io", "docker.io"]
    assert registries_mirrors.endpoints(merge(""), "ghcr.io", PATH) == [f"https://{MIRROR}"]
    for text in ("", "mirrors:\n  ghcr.io:\n", "mirrors:\n  ghcr.io:\n    endpoint: x\n"):
        assert registries_mirrors.endpoints(text, "ghcr.io", PATH) == []


@pytest.mark.parametrize("used", [None, ONE, CACHES, Mirror("mirror.home.arpa", UPSTREAMS)])
@pytest.mark.parametrize("former", [ONE, CACHES])
@pytest.mark.parametrize(
    "user", ["", "# mine\nmirrors:\n  quay.io: {}\n# end\n", USER.replace("docker.io:", "quay.io:")]
)
def test_whatever_was_used_before_what_is_used_now_is_there(
    user: str, former: Mirror, used: Mirror | None
) -> None:
    after = merge(merge(user, former), used)
    assert merge(after, used) == after
    assert yaml.safe_load(after) == yaml.safe_load(merge(user, used))
    assert merge(after, None) == user


def test_a_change_within_our_lines_is_undone_and_one_beside_them_stays() -> None:
    changed = (
        merge("", CACHES).replace(f'- "https://{MIRROR}"\n', '- "https://other"\n', 1)
        + "  # mine\n  quay.io:\n"
    )
    after = merge(changed, CACHES)
    assert yaml.safe_load(after)["mirrors"] == {
        **yaml.safe_load(merge("", CACHES))["mirrors"],
        "quay.io": None,
    }
    assert merge(after, None) == "mirrors: # homelab-registry cache\n  # mine\n  quay.io:\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (USER, "/r.yaml line 3 has a mirror for docker.io, which a cache of docker.io would replace"),
        (
            "mirrors:\n  docker.io:\n",
            "/r.yaml line 2 has a mirror for docker.io, which a cache of docker.io would",
        ),
        (
            "mirrors: {ghcr.io: {endpoint: [x]}}",
            "/r.yaml line 1 has a mirror for ghcr.io, which a cache of ghcr.io",
        ),
        (
            'mirrors:\n  "*":\n    endpoint: [x]\n',
            "/r.yaml line 2 has a mirror for *, which a cache of docker.io",
        ),
        (f"configs:\n  {MIRROR}:\n", f"/r.yaml line 2 has an entry for {MIRROR}"),
        (
            f"configs:\n  {MIRROR}:\n    tls:\n      insecure_skip_verify: true\n",
            "/r.yaml line 4 switches the check of our certificate off (insecure_skip_verify)",
        ),
        ("mirrors: {}\nconfigs: {a: b}\n", "/r.yaml line 2 is written in one line"),
        ("mirrors: {quay.io: {}}\n", "/r.yaml line 1 is written in one line"),
        ("- x\n", "/r.yaml line 1 is YAML, but not a mapping"),
    ],
)
def test_what_contradicts_them_is_quoted(text: str, problem: str) -> None:
    with pytest.raises(Conflict) as raised:
        merge(text, CACHES)
    assert raised.value.problem.startswith(problem)
    assert raised.value.remedy.endswith("run again")


@pytest.mark.parametrize(
    "text", ["", USER, "mirrors: {docker.io: {endpoint: [x]}}", "# homelab-registry cache\n"]
)
def test_without_caches_nothing_of_the_user_s_changes(text: str) -> None:
    assert merge(text, None) == text
