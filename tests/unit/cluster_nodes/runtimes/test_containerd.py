"""containerd: where it looks for `hosts.toml`, what is written for it, when it is restarted, and conflicts."""

from __future__ import annotations

import datetime as dt
import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tasks.certificates import ca
from tasks.clients import mirrors
from tasks.clients.mirrors import Mirror
from tasks.cluster_nodes.node import Node, NodeTarget
from tasks.cluster_nodes.runtimes import containerd, containerd_config, containerd_conflicts, restarts
from tasks.cluster_nodes.runtimes.containerd import CONFIG, DOCKER_UNIT, UNIT, Containerd
from tasks.cluster_nodes.runtimes.containerd_config import CERTS, CRI_1, CRI_2, IMAGES, TWO_PATHS
from tasks.remote import toml_edit
from tasks.remote.files import File, Observed
from tasks.remote.steps import Conflict, Step
from tasks.settings.load import Settings
from tests.unit.clients.test_mirrors import UPSTREAMS
from tests.unit.cluster_nodes.runtimes.containerd_shapes import SHAPES, Shape, three, two

NAME = "registry.homelab.local"
NOW = dt.datetime.now(dt.UTC)
CA = ca.make_authority([NAME], 3650, NOW).certificate_pem
STARTED = 1000.0
FOLDER = f"{CERTS}/{NAME}"
SET = f"version = 2\n{two(CERTS)}"
FOLDERS = Observed("directory", "755", 0, 0, 1.0, 1, None)
DROP = "/etc/containerd/conf.d/x.toml"
KEPT, FAILED = restarts.paths("containerd")


def file(text: str, modified: float = 1.0) -> Observed:
    return Observed("regular file", "644", 0, 0, modified, 2, hashlib.sha256(text.encode()).hexdigest())


def host(
    config: str | None = SET,
    *,
    names: Sequence[str] = (NAME,),
    root: str = CERTS,
    texts: Mapping[str, str] | None = None,
    paths: Mapping[str, Observed | None] | None = None,
    version: str = "1.6.20~ds1",
    started: float | None = STARTED,
) -> Node:
    """A host with nothing of ours except, if it is given, the configuration."""
    told = [*Containerd().paths(names), *containerd.paths_in(root, names)]
    return Node(
        containerd_version=version,
        containerd_config=CONFIG,
        started={} if started is None else {UNIT: started},
        paths={**dict.fromkeys(told), "/etc/containerd": FOLDERS, **(paths or {})},
        texts={**({} if config is None else {CONFIG: config}), **(texts or {})},
    )


def converged(config: str | None = SET, root: str = CERTS) -> Node:
    found = host(config, root=root)
    hosts = containerd.hosts_toml(f"{root}/{NAME}", NAME)
    ours = {f"{root}/{NAME}/ca.crt": CA, f"{root}/{NAME}/hosts.toml": hosts}
    paths = {root: FOLDERS, f"{root}/{NAME}": FOLDERS, **{path: file(text) for path, text in ours.items()}}
    return replace(found, paths={**found.paths, **paths}, texts={**found.texts, **ours})


def steps(found: Node, endpoint: str = NAME, *, ca_pem: str = CA) -> list[Step]:
    name, _, port = endpoint.partition(":")
    settings = Settings(registry_hostname=name, registry_port=int(port or 443))
    return Containerd().steps(settings, NodeTarget(ca_pem, "192.168.1.10", ["containerd"]), found)


def texts(found: Node) -> list[str]:
    return [step.text for step in steps(found)]


def stop(found: Node, endpoint: str = NAME) -> str:
    with pytest.raises(Conflict) as raised:
        steps(found, endpoint)
    assert raised.value.remedy.endswith("and run again")
    return raised.value.problem


# The configuration: what is in force, and where it is written.


@pytest.mark.parametrize(
    ("shape", "version", "expected"),
    [
        pytest.param(shape, version, expected, id=f"{name}, containerd {version[0]}.{version[1]}")
        for name, shape in SHAPES.items()
        for version, expected in shape.expected.items()
    ],
)
def test_the_value_in_force_is_found(
    shape: Shape, version: tuple[int, int], expected: tuple[str, str, str]
) -> None:
    given = {CONFIG: shape.main, **({} if shape.drop is None else {DROP: shape.drop})}
    given = {path: text.replace("IMPORTS", "conf.d/*.toml") for path, text in given.items()}
    loaded = containerd_config.load(CONFIG, given, version)
    found = containerd_config.in_force(loaded, version)
    where = {"main": CONFIG, "drop": DROP}[expected[1]]
    assert (found.value, found.file.path, found.name) == (expected[0], where, expected[2])
    if not found.ours_to_set:
        if version >= (2, 1) and ":" in found.value:
            with pytest.raises(Conflict, match="which is not one absolute path"):
                _ = found.folder
        else:
            assert found.folder == found.value.split(":")[0]
        return
    # And written there, it is the one in force.
    written = toml_edit.put(found.file.text, found.keys, CERTS, found.file.path)
    again = containerd_config.in_force(
        containerd_config.load(CONFIG, {**given, found.file.path: written}, version), version
    )
    assert again.value == found.folder == CERTS


@pytest.mark.parametrize(
    ("version", "default", "text"),
    [
        ("1.6.20~ds1", 2, f'version = 2\n\n[plugins."{CRI_2}".registry]\nconfig_path = "{CERTS}"\n'),
        ("1.7.27", 2, f'version = 2\n\n[plugins."{CRI_2}".registry]\nconfig_path = "{CERTS}"\n'),
        ("v2.1.5", 3, f'version = 3\n\n[plugins."{IMAGES}".registry]\nconfig_path = "{CERTS}"\n'),
        ("2.3.7+unknown", 4, f'version = 4\n\n[plugins."{IMAGES}".registry]\nconfig_path = "{CERTS}"\n'),
        ("2.9.0", 5, f'version = 4\n\n[plugins."{IMAGES}".registry]\nconfig_path = "{CERTS}"\n'),
        ("1.6.20~ds1", 0, f'version = 2\n\n[plugins."{CRI_2}".registry]\nconfig_path = "{CERTS}"\n'),
    ],
)
def test_a_missing_main_file_is_made_in_the_version_of_containerd_s_default(
    version: str, default: int, text: str
) -> None:
    written = steps(replace(converged(None), containerd_version=version, containerd_default=default))
    assert [step.text for step in written] == [
        f"write {CONFIG}: it is missing, and config_path with it",
        "restart containerd: its config_path is newer than it is (pods and containers stay up)",
    ]
    assert written[0].stdin == text


def test_imports_are_followed_breadth_first_each_once() -> None:
    given = {
        "/e/config.toml": 'imports = ["a.toml", "/x/*.toml"]\n',
        "/e/a.toml": 'imports = ["./config.toml", "../e//b.toml"]\n',
        "/e/b.toml": "",
        "/x/2.toml": "",
        "/x/1.toml": "",
        "/x/deeper/3.toml": "",
        "/x/4.toml/5.toml": "",
    }
    loaded = containerd_config.load("/e/config.toml", given, (1, 6))
    assert [each.path for each in loaded] == [
        "/e/config.toml",
        "/e/a.toml",
        "/x/1.toml",
        "/x/2.toml",
        "/e/b.toml",
    ]


@pytest.mark.parametrize(
    ("reported", "version"), [("v2.1.5", (2, 1)), ("1.6.20~ds1", (1, 6)), ("2.3.7+unknown", (2, 3))]
)
def test_the_version_is_read(reported: str, version: tuple[int, int]) -> None:
    assert containerd_config.version_of(reported) == version


# The files.


def test_a_fresh_host_gets_folders_the_ca_and_hosts_toml_then_the_configuration_then_one_restart() -> None:
    config = f"# mine\nversion = 2\n{two('')}"
    found = steps(host(config))
    assert [step.text for step in found] == [
        f"make {CERTS}: it is missing",
        f"make {FOLDER}: it is missing",
        f"write {FOLDER}/ca.crt: it is missing",
        f"write {FOLDER}/hosts.toml: it is missing",
        f"write {CONFIG}: config_path is not set",
        "restart containerd: its config_path is newer than it is (pods and containers stay up)",
    ]
    assert [step.stdin for step in found[2:]] == [
        CA,
        containerd.hosts_toml(FOLDER, NAME),
        config.replace('config_path = ""', f'config_path = "{CERTS}"'),
        None,
    ]
    assert 'touch "$kept"\n} && mv' in found[4].script
    assert "timeout 120 systemctl restart" in found[5].script


def test_the_folder_of_a_missing_configuration_is_made_readable_for_all() -> None:
    found = host(None, paths={"/etc/containerd": None})
    assert texts(found)[:2] == ["make /etc/containerd: it is missing", f"make {CERTS}: it is missing"]
    assert "chmod 0755 /etc/containerd" in steps(found)[0].script


def test_the_text_of_hosts_toml() -> None:
    text = containerd.hosts_toml(f"{CERTS}/[fd00::1]:5443", "[fd00::1]:5443")
    assert text == (
        "# Written by homelab-registry; a change here is undone by its next run.\n"
        'server = "https://[fd00::1]:5443"\n'
        'ca = "/etc/containerd/certs.d/[fd00::1]:5443/ca.crt"\n'
        "\n"
        '[host."https://[fd00::1]:5443"]\n'
        '  capabilities = ["pull", "resolve", "push"]\n'
        '  ca = "/etc/containerd/certs.d/[fd00::1]:5443/ca.crt"\n'
    )
    assert list(tomllib.loads(text)["host"]) == ["https://[fd00::1]:5443"]


def test_each_name_has_a_folder_and_all_its_paths_are_looked_at() -> None:
    assert containerd.paths_in("/c", [NAME, "[fd00::1]:5443"]) == [
        "/c",
        f"/c/{NAME}",
        "/c/[fd00::1]:5443",
        f"/c/{NAME}/ca.crt",
        f"/c/{NAME}/hosts.toml",
        "/c/[fd00::1]:5443/ca.crt",
        "/c/[fd00::1]:5443/hosts.toml",
        f"/c/{NAME}/.ca.crt.homelab-new",
        f"/c/{NAME}/.hosts.toml.homelab-new",
        "/c/[fd00::1]:5443/.ca.crt.homelab-new",
        "/c/[fd00::1]:5443/.hosts.toml.homelab-new",
        "/c/[fd00::1]_5443_",
    ]


def test_a_folder_of_the_user_s_is_read_before_anything_is_decided() -> None:
    found = host(f"version = 2\n{two('/elsewhere/')}")
    assert Containerd().more([NAME], found) == (
        containerd.paths_in("/elsewhere", [NAME]),
        containerd.texts_in("/elsewhere", [NAME]),
    )
    with pytest.raises(KeyError, match="/elsewhere"):
        steps(found)


@pytest.mark.parametrize("config", [SET, f"version = 3\n{three(CERTS)}"])
def test_a_converged_host_needs_nothing(config: str) -> None:
    version = "1.6.20" if config == SET else "2.3.7"
    assert steps(replace(converged(config), containerd_version=version)) == []


def test_the_user_s_folder_is_used_and_its_mode_left_alone() -> None:
    config = f"version = 2\n{two('/srv/certs/')}"
    assert texts(host(config, root="/srv/certs")) == [
        "make /srv/certs: it is missing",
        f"make /srv/certs/{NAME}: it is missing",
        f"write /srv/certs/{NAME}/ca.crt: it is missing",
        f"write /srv/certs/{NAME}/hosts.toml: it is missing",
    ]
    found = converged(config, root="/srv/certs")
    assert steps(found) == []
    assert steps(replace(found, paths={**found.paths, "/srv/certs": replace(FOLDERS, mode="700")})) == []


@pytest.mark.parametrize(
    ("path", "observed", "text"),
    [
        (CERTS, replace(FOLDERS, mode="700"), f"set owner and mode of {CERTS}: its mode is 0700, not 0755"),
        (FOLDER, replace(FOLDERS, owner=7), f"set owner and mode of {FOLDER}: it belongs to 7:0, not 0:0"),
        (f"{FOLDER}/ca.crt", None, f"write {FOLDER}/ca.crt: it is missing"),
        (f"{FOLDER}/hosts.toml", file("x"), f"write {FOLDER}/hosts.toml: its content is not as it should be"),
        (f"{FOLDER}/hosts.toml", replace(file(containerd.hosts_toml(FOLDER, NAME)), mode="600"),
         f"set owner and mode of {FOLDER}/hosts.toml: its mode is 0600, not 0644"),
    ],
)  # fmt: skip
def test_one_difference_is_one_step(path: str, observed: Observed | None, text: str) -> None:
    found = converged()
    assert texts(replace(found, paths={**found.paths, path: observed})) == [text]


def test_a_change_in_a_file_with_our_mark_is_undone() -> None:
    found = converged()
    path, text = f"{FOLDER}/hosts.toml", containerd.hosts_toml(FOLDER, NAME) + "skip_verify = true\n"
    changed = replace(found, texts={**found.texts, path: text}, paths={**found.paths, path: file(text)})
    assert texts(changed) == [f"write {path}: its content is not as it should be"]


# The restart.

ASK = f"ask {UNIT} whether its CRI answers, and remove {KEPT} or put it back: a run was killed"


@pytest.mark.parametrize(
    ("config", "started", "marker", "texts_expected"),
    [
        (SET, STARTED, None, []),
        (SET, STARTED, STARTED - 1, [ASK]),
        (SET, STARTED, STARTED, ["restart"]),
        (SET, STARTED, STARTED + 1, ["restart"]),
        (SET, None, STARTED, []),
        (SET, None, None, []),
        ("version = 2\n", STARTED, None, [f"write {CONFIG}: config_path is not set", "restart"]),
        ("version = 2\n", STARTED, STARTED - 1, [ASK, f"write {CONFIG}: config_path is not set", "restart"]),
        ("version = 2\n", STARTED, STARTED + 1, [ASK, f"write {CONFIG}: config_path is not set", "restart"]),
        ("version = 2\n", None, None, [f"write {CONFIG}: config_path is not set"]),
        (f"version = 2\n{two(TWO_PATHS)}", STARTED, None, []),
    ],
)  # fmt: skip
def test_a_restart_is_due_until_it_has_been(
    config: str, started: float | None, marker: float | None, texts_expected: list[str]
) -> None:
    found = replace(converged(config), started={} if started is None else {UNIT: started})
    found = replace(found, paths={**found.paths, KEPT: None if marker is None else file("", marker)})
    assert [text.split(" containerd: ")[0] for text in texts(found)] == texts_expected


def test_the_two_paths_of_containerd_s_default_are_set_to_one_from_2_1_on() -> None:
    found = replace(converged(f"version = 3\n{three(TWO_PATHS)}"), containerd_version="2.2.0")
    assert texts(found)[0] == f"write {CONFIG}: config_path is the default of two paths"


def test_a_service_that_cannot_start_is_asked_and_put_back_and_a_stopped_one_is_not() -> None:
    kept = {**converged().paths, KEPT: file("", STARTED)}
    found = replace(converged(), started={}, paths=kept)
    assert steps(found) == []
    assert texts(replace(found, failing={UNIT})) == [ASK]


def test_what_containerd_did_not_come_up_with_is_not_tried_again() -> None:
    config = "version = 2\n"
    tried = str(steps(converged(config))[0].stdin)
    found = replace(converged(config), paths={**converged(config).paths, FAILED: file(tried)})
    assert stop(found) == (
        f"containerd did not come up with our change of {CONFIG} at an earlier run, so the file from before was put back"
    )
    changed = replace(found, texts={**found.texts, CONFIG: "version = 2\n# fixed\n"})
    assert [text.partition(":")[0] for text in texts(changed)] == [f"write {CONFIG}", "restart containerd"]


@pytest.mark.parametrize(
    ("config", "given", "socket"),
    [
        ("version = 2\n", "", "/run/containerd/containerd.sock"),
        ("version = 2\n", "/run/own.sock", "/run/own.sock"),
        ("version = 2\n[grpc]\naddress = '/run/a b.sock'\n", "", "'/run/a b.sock'"),
        (
            "version = 4\n[plugins.'io.containerd.server.v1.grpc']\naddress = '/run/x.sock'\n",
            "",
            "/run/x.sock",
        ),
    ],
)
def test_containerd_is_asked_where_it_listens(config: str, given: str, socket: str) -> None:
    found = replace(converged(config), containerd_socket=given, containerd_version="2.3.7")
    assert f"ctr --address {socket} plugins ls" in steps(found)[-1].script


def test_a_stopped_service_has_nothing_kept_and_the_restart_step_mentions_docker() -> None:
    assert KEPT not in steps(replace(converged("version = 2\n"), started={}))[0].script
    assert steps(replace(converged("version = 2\n"), started={UNIT: STARTED, DOCKER_UNIT: STARTED}))[
        1
    ].text == (
        "restart containerd: its config_path is newer than it is "
        "(pods and containers stay up; Docker Engine here uses it too)"
    )


def with_docker(found: Node) -> Node:
    """A host on which Docker Engine runs, and is restarted with containerd."""
    return replace(found, started={**found.started, DOCKER_UNIT: STARTED}, requiring_containerd={DOCKER_UNIT})


REQUIRED = "docker.service requires containerd.service, so the restart that config_path needs would stop Docker's containers"
BY_HAND = "run systemctl restart containerd.service yourself at a good moment; or write Wants= for Requires="


@pytest.mark.parametrize(
    ("config", "marker", "remedy"),
    [
        ("version = 2\n", None,
         f'set config_path = "{CERTS}" below [plugins."{CRI_2}".registry] in {CONFIG}, and {BY_HAND}'),
        (None, None, f'set config_path = "{CERTS}" below [plugins."{CRI_2}".registry] in {CONFIG} and version = 2 on top, '
         f"and {BY_HAND}"),
        (SET, STARTED, BY_HAND),
    ],
)  # fmt: skip
def test_a_restart_that_would_stop_docker_is_a_conflict(
    config: str | None, marker: float | None, remedy: str
) -> None:
    found = with_docker(converged(config))
    found = replace(found, paths={**found.paths, KEPT: None if marker is None else file("", marker)})
    assert stop(found) == REQUIRED
    with pytest.raises(Conflict) as raised:
        steps(found)
    assert raised.value.remedy.startswith(remedy)


def test_docker_does_not_matter_if_no_restart_is_due() -> None:
    assert steps(with_docker(converged())) == []
    stopped = replace(with_docker(converged("version = 2\n")), started={DOCKER_UNIT: STARTED})
    assert texts(stopped) == [f"write {CONFIG}: config_path is not set"]


# What is in the way.

INLINE = "beside which containerd's CRI does not start with a config_path"


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (f'version = 2\n{two("")}\n[plugins."{CRI_2}".registry.mirrors."docker.io"]\nendpoint = ["x"]\n',
         f"{CONFIG} line 5 has inline registry mirrors, {INLINE}"),
        (f'version = 2\n[plugins."{CRI_2}".registry.configs."a.b".tls]\nca_file = "x"\n',
         f"{CONFIG} line 2 has inline registry configs, {INLINE}"),
        (f'version = 2\n\ndisabled_plugins = ["{CRI_2}"]\n',
         f"containerd's CRI is switched off ({CONFIG} line 3: disabled_plugins has \"{CRI_2}\"), so no node pulls with it"),
        ('disabled_plugins = ["cri"]\n',
         f"containerd's CRI is switched off ({CONFIG} line 1: disabled_plugins has \"cri\"), so no node pulls with it"),
        (f"version = 2\n{two('a:/b')}", f"{CONFIG} line 3 sets config_path to 'a:/b', which is not one absolute path"),
        (f'version = 2\n{two(CERTS)}[plugins."{CRI_2}".registry.configs."a.b".tls]\n',
         f"{CONFIG} line 4 has inline registry configs, {INLINE}, and there is one ({CONFIG} line 3)"),
        (f'version = 2\n[plugins."{CRI_2}".registry.configs]\n"a.b" = {{ tls = {{}} }}\n',
         f"{CONFIG} line 2 has inline registry configs, {INLINE}"),
        (f"version = 2\n{two('certs.d')}", f"{CONFIG} line 3 sets config_path to 'certs.d', which is not one absolute path"),
        ("version = 2\n[plugins\n", f"{CONFIG} line 2 is not TOML"),
        ("imports = 1\ndisabled_plugins = 2\nplugins = 3\n", f"{CONFIG} line 3 is not a table"),
        ("version = 9\n", f"{CONFIG} line 1 has configuration version 9, and the newest this project knows is 4"),
        ('version = 2\nimports = ["gone.toml"]\n',
         f"{CONFIG} line 2 imports /etc/containerd/gone.toml, which is not there"),
    ],
)  # fmt: skip
def test_conflicts_in_the_configuration(config: str, problem: str) -> None:
    assert stop(converged(config)) == problem


def test_a_conflict_in_a_drop_in_names_the_drop_in() -> None:
    found = host(
        'version = 2\nimports = ["/etc/containerd/conf.d/*.toml"]\n',
        texts={DROP: f'[plugins."{CRI_2}".registry.mirrors.x]\nendpoint = []\n'},
    )
    assert stop(found) == f"{DROP} line 1 has inline registry mirrors, {INLINE}"


@pytest.mark.parametrize(
    "config",
    [
        f"version = 2\n{two(CERTS)}\n[plugins.\"{CRI_2}\".registry.mirrors]\n[plugins.\"{CRI_2}\".registry.configs]\n",
        f'version = 2\n{two(CERTS)}\n[plugins."{CRI_2}".registry.configs."a.b".auth]\nusername = "x"\n',
        f'version = 2\ndisabled_plugins = ["io.containerd.internal.v1.opt"]\n{two(CERTS)}',
    ],
)  # fmt: skip
def test_settings_that_are_no_conflict(config: str) -> None:
    assert steps(converged(config)) == []


@pytest.mark.parametrize(
    ("registry", "problem"),
    [
        ('config_path = ""\n[plugins."IMAGES".registry.configs."a.b".tls]\n', None),
        (f'config_path = "{CERTS}"\n[plugins."IMAGES".registry.configs."a.b".tls]\nca_file = "x"\n', None),
        ('[plugins."IMAGES".registry.configs."a.b".tls]\nca_file = "x"\n',
         f"{CONFIG} line 3 has inline registry configs, which containerd does not read with a config_path"),
        ('[plugins."IMAGES".registry.mirrors."a.b"]\n', f"{CONFIG} line 3 has inline registry mirrors, {INLINE}"),
        ("config_path = '/a:/b'\n", f"{CONFIG} line 3 sets config_path to '/a:/b', which is not one absolute path"),
    ],
)  # fmt: skip
def test_containerd_2_starts_with_tables_that_it_does_not_read(registry: str, problem: str | None) -> None:
    """Tried with 2.1.9 and 2.3.7: their CRI refuses inline mirrors alone."""
    text = f'version = 3\n[plugins."{IMAGES}".registry]\n{registry}'.replace("IMAGES", IMAGES)
    found = replace(converged(text), containerd_version="2.3.7")
    if problem is None:
        steps(found)
    else:
        assert stop(found) == problem


# What stands only in a file that another program may own.

MAIN = 'version = 2\nimports = ["/etc/containerd/conf.d/*.toml"]\n'
LASTING = f"write {CONFIG}: config_path is set only in {DROP}, which may be another program's"


@pytest.mark.parametrize(
    ("main", "drop", "expected"),
    [
        (MAIN, two(""), [f"write {DROP}: config_path is not set", LASTING, "restart containerd"]),
        (MAIN + two(CERTS), two(""), [f"write {DROP}: config_path is not set", "restart containerd"]),
        (MAIN, two(CERTS), [LASTING]),
        (MAIN + two("/own"), two(CERTS), []),
        (MAIN + two(CERTS), two(CERTS), []),
        (MAIN + two(CERTS), "[debug]\n", []),
    ],
)
def test_config_path_stands_in_the_main_file_too(main: str, drop: str, expected: list[str]) -> None:
    found = replace(converged(main), texts={**converged(main).texts, DROP: drop})
    taken = steps(found)
    assert [step.text if step.text == LASTING else step.text.split(": its")[0] for step in taken] == expected
    for step in taken:
        if step.text == LASTING:
            assert step.stdin == f'{main}\n[plugins."{CRI_2}".registry]\nconfig_path = "{CERTS}"\n'


@pytest.mark.parametrize(
    ("text", "is_list"),
    [
        ("", False),
        ("[I]\nuse_local_image_pull = true\n", True),
        (
            "[I]\nuse_local_image_pull = false\nmax_concurrent_downloads = 3\ndisable_snapshot_annotations = true\n",
            False,
        ),
        ("[I]\nmax_concurrent_downloads = 5\n", True),
        ("[I]\ndisable_snapshot_annotations = false\n", True),
        ("[I]\ndiscard_unpacked_layers = true\n", True),
        ("[I]\nimage_pull_with_sync_fs = true\n", True),
        ("[I.registry.configs.x.auth]\nusername = 'a'\n", True),
        ("[I.registry.headers]\nX = ['a']\n", False),
    ],
)
def test_several_folders_work_since_2_1_if_containerd_pulls_locally(text: str, *, is_list: bool) -> None:
    """Tried by pulls with 2.1.9 and 2.3.7."""
    plugin = f"[plugins.'{IMAGES}'"
    text = f"version = 3\n{text.replace('[I', plugin)}"
    for version in ((2, 1), (2, 3)):
        loaded = containerd_config.load(CONFIG, {CONFIG: text}, version)
        assert containerd_config.in_force(loaded, version).is_list is is_list
        assert containerd_config.in_force(loaded, (2, 0)).is_list


@pytest.mark.parametrize(
    ("text", "is_list"),
    [
        (
            "[C.containerd]\ndiscard_unpacked_layers = true\n[C.containerd.runtimes.runc]\nruntime_type = 'x'\n",
            True,
        ),
        ("[C.containerd]\ndiscard_unpacked_layers = true\n", False),  # then it is not migrated
        ("[C]\nmax_concurrent_downloads = 5\n", True),
        ("[C]\nuse_local_image_pull = true\n", False),
    ],
)
def test_settings_of_version_2_count_as_they_are_migrated(text: str, *, is_list: bool) -> None:
    """Compared with `config dump` of 2.1.9 and 2.3.7."""
    plugin = f"[plugins.'{CRI_2}'"
    text = f"version = 2\n{two(TWO_PATHS)}{text.replace('[C', plugin)}"
    loaded = containerd_config.load(CONFIG, {CONFIG: text}, (2, 1))
    found = containerd_config.in_force(loaded, (2, 1))
    assert (found.is_list, found.ours_to_set) == (is_list, not is_list)


def test_the_first_of_several_folders_is_used() -> None:
    config = f"version = 2\n{two('/opt/certs/:/srv/certs')}"
    found = converged(config, root="/opt/certs")
    assert steps(found) == []
    assert steps(replace(found, containerd_version="1.7.27")) == []
    assert Containerd().more([NAME], found)[1] == containerd.texts_in("/opt/certs", [NAME])


def test_an_unknown_version_is_a_conflict() -> None:
    assert stop(replace(converged(), containerd_version="dev")) == "containerd reports no version ('dev')"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('server = "https://user:secret@x"\n', "line 1 has server, and is not ours"),
        (f'server = "x"\n[host."https://{NAME}"]\n  ca = "/other.crt"\n', "line 3 has ca, and is not ours"),
        (f'server = "x"\nca = "y"\n\n[host."https://{NAME}"]\nskip_verify = true\n',
         "line 5 has skip_verify, and is not ours"),
        ('[host."https://mirror"]\n', "is not ours"),
        ("[host\n", "line 1 is not TOML"),
    ],
)  # fmt: skip
def test_a_hosts_toml_of_the_user_s_is_a_conflict(text: str, problem: str) -> None:
    assert stop(host(texts={f"{FOLDER}/hosts.toml": text})) == f"{FOLDER}/hosts.toml {problem}"


def test_a_folder_that_is_looked_up_first_is_a_conflict() -> None:
    name = f"{NAME}:5443"
    found = host(names=[name], paths={f"{CERTS}/{NAME}_5443_": FOLDERS})
    assert stop(found, name) == f"{CERTS}/{NAME}_5443_ is looked up before {CERTS}/{name}, and is not ours"


def test_a_certificate_of_another_authority_is_a_conflict() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Other")])
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    )
    builder = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + dt.timedelta(1))
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    found = host(texts={f"{FOLDER}/ca.crt": CA + pem})
    assert stop(found) == f"{FOLDER}/ca.crt holds a certificate of another authority (CN=Other)"
    assert stop(host(texts={f"{FOLDER}/ca.crt": pem})).startswith(f"{FOLDER}/ca.crt holds")
    assert texts(host(texts={f"{FOLDER}/ca.crt": CA + CA}))


def test_the_configuration_of_docker_s_package_switches_the_cri_off() -> None:
    assert Containerd().switched_off(host('disabled_plugins = ["cri"]\n')) == (
        f'{CONFIG} line 1: disabled_plugins has "cri"'
    )
    assert Containerd().switched_off(host(SET)) is None
    assert Containerd().switched_off(host(None)) is None
    assert CRI_1 in containerd_conflicts.DISABLING


# Caches.

MIRROR = "mirror.homelab.local"
CACHES = Mirror(MIRROR, UPSTREAMS)
LOOKED_AT = (NAME, MIRROR, "docker.io", "ghcr.io", "_default")


def cached(found: Node, used: Mirror | None) -> list[Step]:
    return Containerd().steps(Settings(), NodeTarget(CA, "192.168.1.10", ["containerd"], mirror=used), found)


def with_caches(root: str = CERTS) -> Node:
    found = converged(f"version = 2\n{two(root)}", root)
    placed = {item.path: item for item in mirrors.wanted(root, CACHES, CA)}
    ours = {path: item.content for path, item in placed.items() if isinstance(item, File)}
    paths = {path: file(ours[path]) if path in ours else FOLDERS for path in placed}
    looked_at = dict.fromkeys([*Containerd().paths(LOOKED_AT), *containerd.paths_in(root, LOOKED_AT)])
    return replace(found, paths={**looked_at, **found.paths, **paths}, texts={**found.texts, **ours})


def test_caches_get_a_file_each_without_a_restart() -> None:
    found = converged()
    found = replace(found, paths={**dict.fromkeys(containerd.paths_in(CERTS, LOOKED_AT)), **found.paths})
    assert [step.text for step in cached(found, CACHES)] == [
        f"{verb} {CERTS}/{path}: it is missing"
        for verb, path in (
            ("make", MIRROR), ("write", f"{MIRROR}/ca.crt"), ("write", f"{MIRROR}/hosts.toml"),
            ("make", "docker.io"), ("write", "docker.io/hosts.toml"),
            ("make", "ghcr.io"), ("write", "ghcr.io/hosts.toml"),
        )
    ]  # fmt: skip


@pytest.mark.parametrize("root", [CERTS, "/srv/certs"])
def test_caches_that_are_there_need_nothing_and_go_if_they_are_not_used(root: str) -> None:
    found = with_caches(root)
    assert cached(found, CACHES) == []
    assert [step.text for step in cached(found, None)] == [
        f"remove {root}/{path}: this host uses no such cache any more"
        for path in ("docker.io/hosts.toml", "ghcr.io/hosts.toml", MIRROR)
    ]
    # After them the registry may take the mirror's name.
    assert steps(replace(with_caches(), paths={**found.paths, **with_caches().paths}), MIRROR)


def test_caches_in_a_folder_that_is_not_in_force_any_more_go() -> None:
    left = {path: text for path, text in with_caches().texts.items() if mirrors.is_ours(text)}
    found = with_caches("/srv/certs")
    removed = cached(replace(found, texts={**found.texts, **left}), CACHES)
    assert [step.path for step in removed] == [
        f"{CERTS}/{name}/hosts.toml" for name in ("docker.io", "ghcr.io", MIRROR)
    ]


@pytest.mark.parametrize(
    ("path", "text", "problem"),
    [
        ("docker.io/hosts.toml", 'server = "https://cache.lan"', "docker.io/hosts.toml line 1 has server"),
        (
            "_default/hosts.toml",
            '[host."http://cache.lan"]',
            "_default/hosts.toml line 1 asks http://cache.lan",
        ),
        ("ghcr.io/mitm.crt", "x", "ghcr.io/mitm.crt line 1 is a certificate"),
        (f"{MIRROR}/hosts.toml", "skip_verify = true", f"{MIRROR}/hosts.toml line 1 has skip_verify"),
    ],
)
def test_what_the_user_has_there_is_a_conflict_with_the_caches(path: str, text: str, problem: str) -> None:
    found = converged()
    paths = dict.fromkeys(containerd.paths_in(CERTS, LOOKED_AT))
    found = replace(found, paths={**paths, **found.paths}, texts={**found.texts, f"{CERTS}/{path}": text})
    with pytest.raises(Conflict) as raised:
        cached(found, CACHES)
    assert raised.value.problem.startswith(f"{CERTS}/{problem}")
    assert cached(found, None) == []
