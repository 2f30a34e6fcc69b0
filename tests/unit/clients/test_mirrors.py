"""What a `certs.d` folder gets for pull-through caches, what of the user's contradicts it, and what goes again."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest

from tasks.clients import mirrors
from tasks.clients.mirrors import MARK, Mirror
from tasks.remote.files import File
from tasks.remote.steps import Conflict
from tasks.settings.caches import KNOWN, Upstream
from tasks.settings.load import HostSettings, Settings

CERTS = "/etc/containerd/certs.d"
MIRROR = "mirror.homelab.local:5443"
UPSTREAMS = [Upstream(name=name, registry=KNOWN[name]) for name in ("docker.io", "ghcr.io")]
USED = Mirror(MIRROR, UPSTREAMS)
THEIRS = f"{CERTS}/docker.io/hosts.toml"


def settings(**values: object) -> Settings:
    return Settings.model_validate({"registry_port": 5443, **values})


def test_a_host_has_a_mirror_if_there_are_caches_and_it_uses_them() -> None:
    cached = settings(registry_caches=["docker.io", "ghcr.io"])
    assert mirrors.mirror(cached, HostSettings()) == Mirror(MIRROR, cached.registry_caches)
    assert mirrors.mirror(cached, HostSettings(registry_use_caches=False)) is None
    assert mirrors.mirror(settings(), HostSettings()) is None
    assert mirrors.names(cached) == [MIRROR, "docker.io", "ghcr.io", "_default"]
    assert mirrors.names(settings()) == []


def test_a_registry_is_asked_itself_if_the_caches_have_no_answer() -> None:
    text = mirrors.hosts_toml(UPSTREAMS[0], MIRROR, "/x/ca.crt")
    assert text.startswith(MARK)
    assert tomllib.loads(text) == {
        "server": "https://registry-1.docker.io",
        "host": {
            f"https://{MIRROR}": {
                "capabilities": ["pull", "resolve"],
                "ca": "/x/ca.crt",
                "dial_timeout": "3s",
            }
        },
    }


def test_a_ca_is_there_before_a_file_names_it() -> None:
    items = mirrors.wanted(CERTS, USED, "PEM", owner=1000, group=1001)
    assert [item.path.removeprefix(f"{CERTS}/") for item in items] == [
        MIRROR, f"{MIRROR}/ca.crt", f"{MIRROR}/hosts.toml",
        "docker.io", "docker.io/hosts.toml", "ghcr.io", "ghcr.io/hosts.toml",
    ]  # fmt: skip
    assert {(item.owner, item.group) for item in items} == {(1000, 1001)}
    for item in items:
        if isinstance(item, File) and item.path.endswith("hosts.toml"):
            assert f'ca = "{CERTS}/{MIRROR}/ca.crt"' in item.content


@pytest.mark.parametrize(
    ("path", "text", "problem"),
    [
        (
            THEIRS,
            '# mine\nserver = "https://registry-1.docker.io"\n[host."https://me:secret@cache.lan"]\n',
            f"{THEIRS} line 3 asks https://cache.lan, which a cache of docker.io would replace",
        ),
        (
            THEIRS,
            '\nserver = "https://me:secret@dockerhub.lan"\n',
            f'{THEIRS} line 2 has server = "https://dockerhub.lan", which a cache of docker.io would replace',
        ),
        (
            THEIRS,
            "skip_verify = true",
            f"{THEIRS} line 1 has skip_verify, which a cache of docker.io would replace",
        ),
        (THEIRS, "# mine", f"{THEIRS} line 1 has a comment alone, which a cache of docker.io would replace"),
        (
            f"{CERTS}/_default/hosts.toml",
            '[host."https://cache.lan"]\n',
            f"{CERTS}/_default/hosts.toml line 1 asks https://cache.lan, which a cache of docker.io would replace",
        ),
        (
            f"{CERTS}/ghcr.io/inspected.crt",
            "PEM",
            f"{CERTS}/ghcr.io/inspected.crt line 1 is a certificate for ghcr.io, unread once there is a hosts.toml",
        ),
    ],
)
def test_what_the_user_configured_for_an_upstream_is_quoted(path: str, text: str, problem: str) -> None:
    with pytest.raises(Conflict) as stop:
        mirrors.check(CERTS, USED, {path: text})
    assert stop.value.problem == problem
    name = "ghcr.io" if "ghcr.io" in problem else "docker.io"
    assert stop.value.remedy == (
        f"take that out, or {name} out of registry_caches, or set registry_use_caches to False for this host, "
        "and run again"
    )


def test_what_is_ours_or_about_another_registry_is_no_conflict() -> None:
    ours = {item.path: item.content for item in mirrors.wanted(CERTS, USED, "PEM") if isinstance(item, File)}
    mirrors.check(CERTS, USED, {**ours, f"{CERTS}/quay.io/hosts.toml": '[host."https://cache.lan"]'})


@pytest.mark.parametrize(
    ("used", "gone"),
    [
        (USED, []),
        (Mirror(MIRROR, UPSTREAMS[1:]), ["docker.io"]),
        (None, ["docker.io", "ghcr.io", MIRROR]),
        (Mirror("mirror.home.arpa", UPSTREAMS), [MIRROR]),
    ],
)
def test_what_was_written_for_a_cache_goes_with_it(
    tmp_path: Path, used: Mirror | None, gone: list[str]
) -> None:
    """In the order of the steps; what else is in a folder stays, and so does the user's file."""
    folder = str(tmp_path)
    for item in mirrors.wanted(folder, USED, "PEM"):
        path = Path(item.path)
        if isinstance(item, File):
            path.write_text(item.content)
        else:
            path.mkdir()
    (tmp_path / "ghcr.io/notes").write_text("theirs")
    (tmp_path / "quay.io").mkdir()
    (tmp_path / "quay.io/hosts.toml").write_text('server = "https://quay.io"')
    found = {str(path): path.read_text() for path in tmp_path.glob("*/hosts.toml")}
    before = {str(path) for path in tmp_path.rglob("*")}
    steps = mirrors.take_back(folder, used, found)
    assert [step.path for step in steps] == [f"{folder}/{name}/hosts.toml" for name in gone]
    for step in steps:
        subprocess.run(["/bin/sh", "-c", step.script], check=True)
    left = {str(path) for path in tmp_path.rglob("*")}
    removed = {path for name in gone for path in before if f"{path}/".startswith(f"{folder}/{name}/")}
    kept = {f"{folder}/ghcr.io", f"{folder}/ghcr.io/notes"}
    assert before - left == removed - kept
