"""The pull-through caches: their name, what contradicts them, what the registry host has for them, and how it goes."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.clients.hosts_file import HostsFile
from tasks.clients.plan import ClientHost
from tasks.clients.plan import steps as client_steps
from tasks.registry import cache, cache_remains, containers, replacement
from tasks.registry import desired as layout
from tasks.registry.context import RegistryContext
from tasks.registry.desired import FOLDER, Desired
from tasks.registry.images import CACHE, CACHE_MODULE, wanted
from tasks.registry.plan import RegistryHost
from tasks.registry.plan import steps as plan
from tasks.remote.files import File, Observed
from tasks.remote.steps import Conflict, Step
from tasks.settings.load import Settings
from tests.unit.registry.test_plan import IMAGES, RECORD, SECRETS, STARTED, TEMPLATES, converged, texts


def settings(**values: object) -> Settings:
    return Settings.model_validate({"registry_caches": ["docker.io"], **values})


@pytest.mark.parametrize(
    ("values", "name", "endpoint"),
    [
        ({}, "mirror.homelab.local", "mirror.homelab.local"),
        ({"registry_port": 5443}, "mirror.homelab.local", "mirror.homelab.local:5443"),
        ({"registry_cache_name": "pull.example.com"}, "pull.example.com", "pull.example.com"),
        ({"registry_hostname": "me.duckdns.org"}, "mirror.me.duckdns.org", "mirror.me.duckdns.org"),
    ],
    ids=str,
)
def test_the_caches_have_a_name_that_the_ca_permits(
    values: dict[str, object], name: str, endpoint: str
) -> None:
    assert (cache.name(settings(**values)), cache.endpoint(settings(**values))) == (name, endpoint)


def test_without_caches_there_is_no_name() -> None:
    assert cache.name(Settings(registry_cache_name="pull.example.com")) is None
    with pytest.raises(LookupError):
        cache.endpoint(Settings())


@pytest.mark.parametrize(
    "values",
    [
        {"registry_hostname": "mirror.homelab.local"},
        {"registry_extra_names": ["mirror.homelab.local"]},
        {"registry_caches": [{"name": "mirror.homelab.local", "registry": "https://x.example.com"}]},
        {"registry_caches": [{"name": "x.example.com", "registry": "https://mirror.homelab.local"}]},
    ],
    ids=["the registry's", "an extra one's", "an upstream's", "an upstream's host"],
)
def test_a_name_with_another_meaning_is_a_conflict(values: dict[str, object]) -> None:
    with pytest.raises(Conflict, match=r"^the caches' name mirror[.]homelab[.]local has another meaning"):
        cache.check(settings(**values), (), None)
    cache.check(settings(**values, registry_cache_name="pull.homelab.local"), (), None)


def test_the_name_is_in_the_certificate_and_the_hosts_file_and_no_login_endpoint() -> None:
    given = settings()
    assert RegistryContext(address="192.0.2.10").server_names(given) == [
        "registry.homelab.local",
        "mirror.homelab.local",
        "192.0.2.10",
    ]
    [step] = client_steps(given, "PEM", "192.0.2.10", None, ClientHost(hosts=HostsFile()))
    assert "mirror.homelab.local" in (step.stdin or "")
    assert given.endpoints == ("registry.homelab.local",)


# What the registry host has for them.

DEBIAN_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
TOKEN = "dckr_pat_0123456789"
ACCOUNT: dict[str, Any] = {"registry_cache_accounts": {"docker.io": "me"}}
NAMES = ["registry.homelab.local", "mirror.homelab.local", "192.0.2.10"]


def parts(**values: Any) -> cache.Parts:
    return cache.parts(
        settings(**values), FOLDER, TEMPLATES, "local/cache:1", DEBIAN_BUNDLE, {"docker.io": TOKEN}, NAMES
    )


def desire(**values: Any) -> Desired:
    return layout.desire(settings(**values), SECRETS, IMAGES, TEMPLATES, RECORD, caches=parts(**values))


def found_on(desired: Desired, **values: Any) -> RegistryHost:
    """A host on which everything is as desired."""
    found = converged(desired, settings(**values))
    paths = {
        path: observed
        or Observed("directory" if path.endswith("certs") else "regular file", "755", 0, 0, 1, 7, None)
        if path in {DEBIAN_BUNDLE, "/etc/ssl/certs"}
        else observed
        for path, observed in found.paths.items()
    }
    return replace(
        found,
        paths=paths,
        inside={**found.inside, (cache.NAME, cache.TRUST): 7},
        images={**found.images, "local/cache:1": "sha256:local/cache:1"},
        networks=found.networks | {cache.NAME},
    )


def text(name: str, **values: Any) -> str:
    path = f"{FOLDER}/{cache.FOLDER}/{name}"
    return next(
        each.content for each in parts(**values).files if isinstance(each, File) and each.path == path
    )


def test_the_configuration_names_the_upstreams_and_the_limits() -> None:
    own = {"name": "lan.example.com", "registry": "http://192.0.2.9:5000", "token": "http://192.0.2.9/t?a=b"}
    found = text(
        "nginx.conf",
        registry_caches=["docker.io", own],
        registry_cache_limit="20GB",
        registry_cache_keep_free="5GB",
        registry_cache_tag_seconds=7,
    )
    for line in (
        "docker.io https://registry-1.docker.io;",
        "lan.example.com http://192.0.2.9:5000;",
        "lan.example.com http://192.0.2.9/t?a=b;",
        f"max_size={20 * 10**9 - 64 * 2**20} min_free=5000000000",
        "max_size=67108864;",
        "proxy_cache_valid 200 7s;",
        f"proxy_ssl_trusted_certificate {cache.TRUST}/ca-certificates.crt;",
        f'js_var $our_names "{" ".join(NAMES)}";',
        'js_var $upstreams "docker.io lan.example.com";',
    ):
        assert line in found
    assert "proxy_ssl_verify on;" in found


def test_an_access_token_is_in_one_file_that_only_the_container_reads() -> None:
    found = parts(**ACCOUNT)
    login = next(each for each in found.files if each.path == f"{FOLDER}/cache/logins/docker.io")
    assert isinstance(login, File)
    assert (login.content, login.mode, login.owner) == (
        "Basic bWU6ZGNrcl9wYXRfMDEyMzQ1Njc4OQ==\n",
        "0600",
        60706,
    )
    rest = f"{found!r}{containers.create(found.container, '')}{text('nginx.conf', **ACCOUNT)}"
    assert TOKEN not in rest
    assert "bWU6" not in rest
    assert f"docker.io {cache.CONFIG}/logins/docker.io;" in rest


def test_the_container_is_as_confined_as_the_others_and_has_none_of_their_files() -> None:
    container = parts().container
    arguments = containers.create(container, "digest")
    assert {"--read-only", "--cap-drop=ALL", "--user=60706:60706", f"--network={cache.NAME}"} <= set(
        arguments
    )
    assert not any(each.startswith("--publish") for each in arguments)
    assert {(mount.source, mount.writable) for mount in container.mounts} == {
        (f"{FOLDER}/cache", False), (f"{FOLDER}/run/cache", True), ("/var/lib/homelab-registry-cache", True),
        ("/etc/ssl/certs", False),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("present", "bundle"),
    [
        ({DEBIAN_BUNDLE}, DEBIAN_BUNDLE),
        ({cache.BUNDLES[0], DEBIAN_BUNDLE}, cache.BUNDLES[0]),
        ({cache.BUNDLES[2]}, cache.BUNDLES[2]),
    ],
)
def test_upstreams_are_checked_by_the_host_s_own_authorities(present: set[str], bundle: str) -> None:
    there = Observed("regular file", "644", 0, 0, 1, 1, "")
    assert cache.bundle({each: there if each in present else None for each in cache.BUNDLES}) == bundle


def test_a_host_without_authorities_is_a_conflict() -> None:
    with pytest.raises(
        Conflict, match=r"no file of certificate authorities.*install the package ca-certificates"
    ):
        cache.bundle(dict.fromkeys(cache.BUNDLES))


# What contradicts them.


def test_images_under_a_name_of_the_caches_are_a_conflict(tmp_path: Path) -> None:
    images, storage = tmp_path / "images", tmp_path / "cache"
    for name in ("docker.io/library/x", "docker.io/me/web/app", "apps/docker.io", "ghcr.io/o/y"):
        link = images / f"docker/registry/v2/repositories/{name}/_manifests/revisions/sha256/ab/link"
        link.parent.mkdir(parents=True)
        link.write_text("sha256:ab")
    (images / "docker/registry/v2/repositories/docker.io/deleted/_manifests/revisions/sha256/ab").mkdir(
        parents=True
    )
    given = settings(registry_storage_path=str(images), registry_cache_path=str(storage))
    assert look(given) == ["shadowed|docker.io/library/x", "shadowed|docker.io/me/web/app"]
    with pytest.raises(
        Conflict, match=r"the caches' now: docker[.]io/library/x, docker[.]io/me/web/app; push them"
    ):
        cache.check(given, ["docker.io/library/x", "docker.io/me/web/app"], None)


def test_a_folder_with_something_else_in_it_is_a_conflict(tmp_path: Path) -> None:
    given = settings(
        registry_storage_path=str(tmp_path / "images"), registry_cache_path=str(tmp_path / "cache")
    )
    assert look(given) == []
    (tmp_path / "cache/lost+found").mkdir(parents=True)
    assert look(given) == []
    (tmp_path / "cache/photos").mkdir()
    assert look(given) == ["foreign|photos"]
    (tmp_path / "cache" / cache.MARK).touch()
    assert look(given) == []
    with pytest.raises(Conflict, match="has something else in it: photos; set registry_cache_path"):
        cache.check(given, [], "photos")


def look(given: Settings) -> list[str]:
    return subprocess.run(
        ["sh", "-c", cache.look(given)], capture_output=True, text=True, check=False
    ).stdout.split()


def test_without_caches_nothing_is_looked_for() -> None:
    assert cache.look(Settings()) == ""
    assert set(layout.paths(settings())) > set(layout.paths(Settings()))


# How they come, change and go.


def test_a_host_with_caches_needs_nothing() -> None:
    desired = desire(**ACCOUNT)
    assert texts(desired, found_on(desired, **ACCOUNT)) == []


def test_the_caches_are_there_before_the_gateway_sends_anyone_to_them() -> None:
    desired = desire()
    found = replace(found_on(desired), containers={}, networks=frozenset())
    assert texts(desired, found) == [
        "make the network homelab-registry: it is missing",
        "make the network homelab-registry-cache: it is missing",
        "create the container homelab-registry: it does not exist",
        "create the container homelab-registry-cache: it does not exist",
        "create the container homelab-registry-gateway: it does not exist",
    ]


@pytest.mark.parametrize("path", [f"{FOLDER}/cache/{each}" for each in cache.TEXTS[1:]])
def test_what_is_read_at_the_start_alone_recreates_the_container(path: str) -> None:
    desired = desire()
    found = found_on(desired)
    observed = found.paths[path]
    assert observed
    newer = replace(found, paths={**found.paths, path: replace(observed, modified=STARTED + 1)})
    assert texts(desired, newer) == [
        f"recreate the container homelab-registry-cache: {path} is newer than its start"
    ]


def test_new_authorities_of_the_host_recreate_nothing() -> None:
    """The container itself takes them: with registry_system_trust they change after its start in each first run."""
    found = found_on(desire())
    bundle = found.paths[DEBIAN_BUNDLE]
    assert bundle
    newer = replace(found, paths={**found.paths, DEBIAN_BUNDLE: replace(bundle, modified=STARTED + 1)})
    assert texts(desire(), newer) == []


def test_a_changed_setting_writes_the_configuration_and_recreates_the_container() -> None:
    desired = desire(registry_cache_tag_seconds=5)
    assert texts(desired, found_on(desire())) == [
        f"write {FOLDER}/cache/nginx.conf: its content is not as it should be",
        "recreate the container homelab-registry-cache: it was started in another way",
    ]


def test_a_new_container_takes_over_by_the_link() -> None:
    script = replacement.replace(parts().container, FOLDER, "registry.homelab.local")
    for line in (
        f"link={FOLDER}/run/cache/cache.sock",
        "sockets=/run/registry/cache",
        "listen_by=SOCKET",
        f"new_link={FOLDER}/run/cache/.cache.sock.homelab-new",
    ):
        assert f"\n{line}\n" in script
    assert "authorization=$(cat)" not in script


def test_a_login_that_is_not_wanted_any_more_is_removed() -> None:
    path = f"{FOLDER}/cache/logins/ghcr.io"
    found = found_on(desire())
    there = Observed("regular file", "600", 60706, 60706, 1, 1, "")
    assert texts(desire(), replace(found, paths={**found.paths, path: there})) == [
        f"remove {path}: registry_cache_accounts has it no longer"
    ]


def test_without_caches_what_an_earlier_run_left_is_removed_after_the_gateway_has_changed() -> None:
    before = found_on(desire())
    off = layout.desire(Settings(), SECRETS, IMAGES, TEMPLATES, RECORD)
    steps = plan(off, before)
    assert [step.text for step in steps] == [
        f"write {FOLDER}/gateway/nginx.conf: its content is not as it should be",
        "recreate the container homelab-registry-gateway: it was started in another way",
        "remove homelab-registry-cache and what it kept: registry_caches is not set",
    ]
    script = steps[-1].script
    assert "docker rm -f homelab-registry-cache >" in script
    assert "docker network rm homelab-registry-cache" in script
    assert f"rm -rf {FOLDER}/cache {FOLDER}/run/cache" in script
    assert f"find /var/lib/homelab-registry-cache -xdev -mindepth 1 ! -name {cache.MARK} -delete" in script


def in_use(image: str, storage: str) -> dict[str, Any]:
    mounts = [
        {"Source": storage, "Destination": cache.STORAGE},
        {"Source": "/etc/ssl/certs", "Destination": "/x"},
    ]
    labels = {containers.LABEL: "x"}
    return {cache.NAME: {"Config": {"Labels": labels, "Image": image}, "Mounts": mounts}}


def test_caches_that_move_leave_no_folder_behind() -> None:
    present = in_use("local/cache:1", "/mnt/old")
    [step] = cache_remains.left("/mnt/new", present, ["/mnt/new", "/mnt/images"])
    assert step.text == "empty /mnt/old: the caches are in /mnt/new now"
    assert step.script == cache_remains.empty("/mnt/old")
    assert cache_remains.left("/mnt/old", present, ["/mnt/old"]) == []
    for used in ("/mnt/old", "/mnt/old/images"):
        assert cache_remains.left("/mnt/new", present, [used]) == []


@pytest.mark.parametrize(
    ("image", "goes"), [("homelab-registry.invalid/nginx:0", True), ("docker.io/library/nginx:stable", False)]
)
def test_the_image_that_was_built_for_them_goes_too(image: str, goes: bool) -> None:
    found = dict.fromkeys(cache.looked_at(settings(), FOLDER))
    [step] = cache_remains.removal(
        "/mnt/new", FOLDER, {**found, f"/mnt/new/{cache.MARK}": None}, in_use(image, "/mnt/old")
    )
    assert (f"docker rmi {image} " in step.script) == goes
    assert cache_remains.empty("/mnt/old") in step.script


def remove(**changes: object) -> list[Step]:
    found: dict[str, Any] = dict.fromkeys(cache.looked_at(settings(), FOLDER))
    return cache_remains.removal("/var/lib/homelab-registry-cache", FOLDER, found | changes, {})


def test_a_folder_without_our_mark_and_a_container_of_that_name_stay() -> None:
    there = Observed("directory", "755", 0, 0, 1, 1, None)
    assert remove(**{"/var/lib/homelab-registry-cache": there}) == []
    [step] = remove(**{f"{FOLDER}/cache": there})
    assert "/var/lib/homelab-registry-cache" not in step.script
    theirs: dict[str, Any] = {cache.NAME: {"Config": {"Labels": {}}}}
    found = dict.fromkeys(cache.looked_at(settings(), FOLDER))
    assert cache_remains.removal("/var/lib/homelab-registry-cache", FOLDER, found, theirs) == []


def test_the_folder_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "cache/images/a/bc").mkdir(parents=True)
    (tmp_path / "cache/images/a/bc/x").touch()
    (tmp_path / "cache" / cache.MARK).touch()
    subprocess.run(["sh", "-c", cache_remains.empty(str(tmp_path / "cache"))], check=True)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "photos/images").mkdir(parents=True)
    subprocess.run(["sh", "-c", cache_remains.empty(str(tmp_path / "photos"))], check=True)
    assert (tmp_path / "photos/images").exists()


# The gateway.


def gateway(**values: object) -> str:
    contents = layout._contents(Settings.model_validate(values), SECRETS, TEMPLATES)
    return contents[layout.GATEWAY_CONFIG]


def test_without_caches_and_page_the_gateway_s_configuration_is_what_it_was() -> None:
    digest = hashlib.sha256(gateway(registry_web=False).encode()).hexdigest()
    assert digest == "3a5d9339fef76cf75ee2728a373a123e3ab5cc92a27c03a55316c59dc869e60a"


def test_the_gateway_lets_the_networks_read_and_never_its_own_bridge() -> None:
    found = gateway(registry_caches=["docker.io", "ghcr.io"], registry_cache_networks=["0.0.0.0/0", "::/0"])
    mirror = found[found.index("geo $in_network") :]
    assert "    0.0.0.0/0 yes;\n        ::/0 yes;\n" in mirror
    assert '"~^(?<bridge>[0-9]+[.][0-9]+[.][0-9]+)[.][0-9]+ (?P=bridge)[.]" no;' in mirror
    assert "server_name mirror.homelab.local;" in mirror
    assert '(?<cached>/v2/(?:docker[.]io|ghcr[.]io)/[^?]*)" cache;' in found
    assert found.index('"~^none " @reject_role;') < found.index('"~ pull cache (?:GET|HEAD)\\z" @cached;')


# The image.


def test_the_caches_image_is_built_with_njs_and_a_pulled_one_is_the_gateway_s() -> None:
    image = wanted(settings(), {}, ("build\n", "add\n"))["cache"]
    tag = CACHE.tag("build\nadd\n")
    assert (image.name, image.reference, image.built) == (tag, tag, True)
    arguments = f"libnginx-mod-http-js /usr/sbin/nginx nginx {tag}-bare {CACHE_MODULE} {tag}"
    assert f"set -- {arguments}\n" in image.step.script
    assert image.step.script.endswith("build\nadd\n")
    assert set(wanted(Settings(), {}, ("build\n", "add\n"))) == {"registry", "gateway"}
    assert set(wanted(settings(registry_image_source="pull"), {}, ("", ""))) == {"registry", "gateway"}
