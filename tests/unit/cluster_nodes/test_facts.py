"""What a node has, read by the fact's script in a real sh from a folder tree."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pyinfra.api.exceptions import FactProcessError

from tasks.clients.hosts_file import HostsFile
from tasks.clients.plan import ClientHost
from tasks.cluster_nodes import facts
from tasks.cluster_nodes.facts import ClusterNodeFact
from tasks.cluster_nodes.logins import PODMAN
from tasks.cluster_nodes.node import Node
from tasks.cluster_nodes.runtimes import containerd, containerd_config
from tasks.cluster_nodes.runtimes.containerd_config import CERTS, CRI_2, IMAGES, TWO_PATHS
from tasks.cluster_nodes.runtimes.docker import Docker
from tasks.cluster_nodes.runtimes.k3s_rke2 import K3S, RKE2
from tasks.remote.fact_scripts import script
from tasks.remote.steps import Conflict
from tests.unit.cluster_nodes.runtimes.test_containerd import NAME
from tests.unit.remote.test_fact_scripts import seen

FOLDERS = r"(/etc/(?:containerd|containers|crio|rancher)|/root/\.config|/run/systemd|/var/lib/kubelet)\b"
"""The folders that the fact reads, except data folders. The tests never ask this machine's own systemd."""


def below(root: Path, text: str) -> str:
    """Return a text with these folders below `root`, if they are not there yet."""
    return re.sub(rf"(?<!agent)(?<!{re.escape(str(root))}){FOLDERS}", rf"{root}\1", text)


def ran(
    root: Path, path: str = "/usr/bin:/bin", more: Sequence[list[str]] = ([], [])
) -> subprocess.CompletedProcess[str]:
    """Run the fact's script, with all that it reads below `root`; `more` are further paths and texts."""
    command = below(root, ClusterNodeFact().command([NAME], None, *more))
    return subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, check=False, env={"PATH": path}
    )


def answer(root: Path, path: str = "/usr/bin:/bin", more: Sequence[list[str]] = ([], [])) -> list[str]:
    done = ran(root, path, more)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def node(root: Path, trips: int = 1) -> Node:
    """What is read in this number of round trips, without this machine's own /etc/hosts."""
    asked = []

    def read(*more: list[str]) -> Node:
        asked.append(more)
        return ClusterNodeFact().process(answer(root, more=more))

    found = facts.read_node([NAME], read)
    assert len(asked) == trips
    assert found.client.hosts.text == Path("/etc/hosts").read_text()
    return replace(found, client=ClientHost())


def write(root: Path, path: str, text: str = "") -> str:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text.replace("ROOT", str(root)))
    return str(file)


def test_a_host_whose_imports_never_end_is_given_up() -> None:
    """As one whose files change each time that they are read."""
    reads = 0

    def read(*_: list[str]) -> Node:
        nonlocal reads
        reads += 1
        config = "/etc/containerd/config.toml"
        return Node(containerd_config=config, texts={config: f'imports = ["{reads}.toml"]\n'})

    with pytest.raises(Conflict, match="names further files more than 9 times over"):
        facts.read_node([NAME], read)
    assert reads == 10


def test_imports_are_followed(tmp_path: Path) -> None:
    main = write(tmp_path, "etc/containerd/config.toml", """version = 2
imports = [ "conf.d/*.toml", # all
  'a b.toml', "ROOT/far/*/x.toml",
# "commented.toml",
  "gone.toml" ]
""")  # fmt: skip
    files = [
        write(tmp_path, "etc/containerd/conf.d/1.toml", 'imports = ["../config.toml", "deeper.toml"]\n'),
        write(tmp_path, "etc/containerd/conf.d/2.toml"),
        write(tmp_path, "etc/containerd/conf.d/.hidden.toml"),
        write(tmp_path, "etc/containerd/conf.d/deeper.toml", "x = 1\n"),
        write(tmp_path, "etc/containerd/a b.toml"),
        write(tmp_path, "far/1/x.toml"),
        write(tmp_path, "far/2/x.toml"),
    ]
    write(tmp_path, "etc/containerd/commented.toml", "[[[")
    write(tmp_path, "etc/containerd/conf.d/no.txt", "[[[")
    found = node(tmp_path, trips=3)  # the main file, what it imports, and what that imports
    assert found.containerd_config == main
    texts = dict(found.texts)
    assert set(texts) == {main, *files}
    with pytest.raises(Conflict, match=r"gone\.toml, which is not there"):
        containerd_config.load(main, found.texts, (1, 6))
    texts[main] = texts[main].replace('"gone.toml"', "")
    loaded = containerd_config.load(main, texts, (1, 6))
    assert {each.path for each in loaded} == {main, *files}


@pytest.mark.parametrize(
    ("imports", "names"),
    [
        ('[\n  "a.toml", # see [1]\n  "conf.d/*.toml",\n]', {"a.toml", "conf.d/1.toml"}),
        ('["[a].toml", "conf.d/*.toml"]', {"[a].toml", "conf.d/1.toml"}),
        ('["conf.d/\\u002a.toml"]', {"conf.d/1.toml"}),
        ('["co?f.[d]/*.t[ox]ml"]', {"conf.d/1.toml"}),
        ('["./conf.d/../a.toml", "//etc/gone/*"]', {"a.toml"}),
    ],
)
def test_imports_are_read_as_toml_has_them(imports: str, names: set[str], tmp_path: Path) -> None:
    main = write(tmp_path, "etc/containerd/config.toml", f"version = 3\nimports = {imports}\n")
    for name in ("a.toml", "[a].toml", "conf.d/1.toml", "conf.d/1.tml"):
        write(tmp_path, f"etc/containerd/{name}")
    loaded = containerd_config.load(main, node(tmp_path, trips=2).texts, (2, 1))
    assert {each.path for each in loaded} == {main, *(f"{tmp_path}/etc/containerd/{name}" for name in names)}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "imports = []\n",
        'imports = "a.toml"\n',
        "imports = [\n",
        f'[plugins."{CRI_2}".registry]\nconfig_path = "{CERTS}"\n',
        f'[plugins."{CRI_2}".registry]\nconfig_path = "{TWO_PATHS}"\n',
        f'[plugins."{CRI_2}".registry]\nconfig_path = "relative:/x"\n',
    ],
)
def test_a_host_without_imports_is_read_once(text: str, tmp_path: Path) -> None:
    main = tmp_path / "etc/containerd/config.toml"
    main.parent.mkdir(parents=True)
    main.write_text(text)
    assert node(tmp_path).texts == {str(main): text}


def test_an_import_that_cannot_be_read_is_not_taken_as_absent(tmp_path: Path) -> None:
    large = write(tmp_path, "etc/containerd/conf.d/1.toml", "#" * 1048577)
    done = ran(tmp_path, more=([], [f"{tmp_path}/etc/containerd/conf.d/*.toml"]))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{large} is larger than 1 MiB\n")


def test_the_folders_of_every_config_path_are_read(tmp_path: Path) -> None:
    main = 'imports = ["d.toml"]\n[plugins.cri.registry]\nconfig_path = "ROOT/own/"\n'
    write(tmp_path, "etc/containerd/config.toml", main)
    imported = "[plugins.cri.registry]\nconfig_path = '/x:/y'\n"
    imported += f"[plugins.'{IMAGES}'.registry]\n  config_path='ROOT/other folder'\n"
    write(tmp_path, "etc/containerd/d.toml", imported)
    hosts = write(tmp_path, f"other folder/{NAME}/hosts.toml", "x\n")
    found = node(tmp_path, trips=3)
    paths = [below(tmp_path, path) for path in facts.paths([NAME])]
    # Of several, the first counts.
    for folder in (f"{tmp_path}/own", "/x", f"{tmp_path}/other folder"):
        paths += containerd.paths_in(folder, [NAME])
    paths += [f"{tmp_path}/etc/containerd/.{name}.homelab-new" for name in ("config.toml", "d.toml")]
    assert found.paths == {path: seen(Path(path)) for path in paths}
    assert found.texts[hosts] == "x\n"


def test_what_an_earlier_run_left_for_caches_is_read_without_any(tmp_path: Path) -> None:
    """With no name given but the registry's: in the folder of each `config_path`, and in what K3s generated."""
    write(tmp_path, "etc/containerd/config.toml", '[plugins.cri.registry]\nconfig_path = "ROOT/own"\n')
    write(tmp_path, "etc/rancher/k3s/config.yaml", "data-dir: ROOT/k3s\n")
    expected = {
        write(tmp_path, f"{folder}/docker.io/hosts.toml", f"{folder}\n"): f"{folder}\n"
        for folder in ("etc/containerd/certs.d", "own", "k3s/agent/etc/containerd/certs.d")
    }
    drop_in = write(tmp_path, "etc/containers/registries.conf.d/50-homelab-registry.conf", "x\n")
    write(tmp_path, "own/docker.io/client.key", "secret\n")
    found = node(tmp_path, trips=2)
    assert {**expected, drop_in: "x\n"}.items() <= found.texts.items()
    assert "secret\n" not in found.texts.values()


def test_k3s_is_found_where_its_configuration_says(tmp_path: Path) -> None:
    write(tmp_path, "etc/rancher/k3s/config.yaml", 'token: x\ndata-dir: "ROOT/first"\n')
    write(tmp_path, "etc/rancher/k3s/config.yaml.d/10.yaml", "data-dir: ROOT/my data # here\n")
    hosts = write(tmp_path, f"my data/agent/etc/containerd/certs.d/{NAME}/hosts.toml", "ca\n")
    template = write(tmp_path, "my data/agent/etc/containerd/config-v3.toml.tmpl", "{{ }}\n")
    added = write(tmp_path, "my data/agent/etc/containerd/config-v3.toml.d/a b.toml", "x = 1\n")
    write(tmp_path, "my data/agent/etc/containerd/config-v3.toml.d/a.txt")
    found = node(tmp_path)
    assert found.data == {"k3s": f"{tmp_path}/my data", "rke2": "/var/lib/rancher/rke2"}
    assert found.texts == {hosts: "ca\n", template: "{{ }}\n", added: "x = 1\n"}


@pytest.mark.parametrize("key", ['"data-dir"', "'data-dir'", "data-dir "])
def test_a_data_folder_s_key_may_be_quoted(key: str, tmp_path: Path) -> None:
    write(tmp_path, "etc/rancher/k3s/config.yaml", f"token: x\n{key}: /mnt/a\n")
    assert node(tmp_path).data["k3s"] == "/mnt/a"


SHOWN = "ExecStart={ path=/usr/local/bin/k3s ; argv[]=/usr/local/bin/k3s %s ; ignore_errors=no ; start_time=[n/a] ; pid=0 }"


@pytest.mark.parametrize(
    ("shown", "config", "data"),
    [
        (SHOWN % "server --data-dir /mnt/a --token x", "data-dir: /mnt/b\n", "/mnt/a"),
        (SHOWN % "server --data-dir=/mnt/a", "", "/mnt/a"),
        (SHOWN % "agent -d /mnt/a", "", "/mnt/a"),
        (SHOWN % "server --disable traefik", "", "/var/lib/rancher/k3s"),
        (SHOWN % "server" + "\nEnvironment=A=b K3S_DATA_DIR=/mnt/a", "", "/mnt/a"),
        (SHOWN % "server" + "\nEnvironment=K3S_DATA_DIR=/mnt/a", "data-dir: /mnt/b\n", "/mnt/b"),
        (SHOWN % "server" + "\nEnvironment=K3S_DATA_DIR=/mnt/a\nEnvironmentFiles=ROOT/env (ignore_errors=yes)", "", "/mnt/c"),
        (SHOWN % "server" + "\nEnvironmentFiles=ROOT/gone (ignore_errors=yes)", "", "/var/lib/rancher/k3s"),
    ],
)  # fmt: skip
def test_a_data_folder_may_be_given_to_the_service(
    shown: str, config: str, data: str, tmp_path: Path
) -> None:
    """Run in a real sh, with a fake of systemctl that answers for one unit as systemd 252 does."""
    write(tmp_path, "env", "K3S_TOKEN='x'\nK3S_DATA_DIR='/mnt/c'\n")
    write(tmp_path, "etc/rancher/k3s/config.yaml", config)
    of_k3s = f"MainPID=0\n{shown}\nId=k3s.service\nLoadState=loaded\nActiveState=inactive"
    agent = "MainPID=0\nEnvironment=\nId=k3s-agent.service\nLoadState=not-found\nActiveState=inactive"
    other = "MainPID=0\nEnvironment=K3S_DATA_DIR=/x\nId=crio.service\nLoadState=loaded\nActiveState=inactive"
    text = write(tmp_path, "shown", "\n\n".join([agent, of_k3s, other]) + "\n")
    (tmp_path / "run").mkdir()
    program(tmp_path / "bin", "systemctl", f"cat {text}")
    services = facts.SERVICES.replace("/run/systemd/system", f"{tmp_path}/run")
    runtimes = [distribution.script([]) for distribution in (K3S, RKE2)]
    command = below(tmp_path, script(facts.FUNCTIONS, "units=x", services, *runtimes))
    done = subprocess.run(
        ["sh", "-c", command],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"},
    )
    assert done.stdout.splitlines() == [
        "unit|k3s.service",
        "unit|crio.service",
        f"data|k3s|{data}",
        "data|rke2|/var/lib/rancher/rke2",
        "end",
    ]


@pytest.mark.parametrize(
    ("arguments", "config", "through"),
    [
        ("server --docker", "", "docker"),
        ("agent -docker=true --token x", "", "docker"),
        ("server --docker=false", "", None),
        ("server --docker-like", "", None),
        ("server", "docker: true\n", "docker"),
        ("server", "docker: false\n", None),
        ("server --container-runtime-endpoint /run/crio.sock", "", "/run/crio.sock"),
        ("agent", "container-runtime-endpoint: unix:///run/containerd/containerd.sock\n",
         "unix:///run/containerd/containerd.sock"),
        ("server --disable traefik", "disable: traefik\n", None),
    ],
)  # fmt: skip
def test_what_k3s_is_told_to_pull_through(
    arguments: str, config: str, through: str | None, tmp_path: Path
) -> None:
    write(tmp_path, "etc/rancher/k3s/config.yaml", config)
    shown = write(
        tmp_path, "shown", f"{SHOWN % arguments}\nId=k3s.service\nLoadState=loaded\nActiveState=inactive\n"
    )
    (tmp_path / "run").mkdir()
    program(tmp_path / "bin", "systemctl", f"cat {shown}")
    services = facts.SERVICES.replace("/run/systemd/system", f"{tmp_path}/run")
    command = below(tmp_path, script(facts.FUNCTIONS, "units=x", services, K3S.script([])))
    path = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, env=path)
    said = [line for line in done.stdout.splitlines() if line.startswith("through|")]
    assert said == ([] if through is None else [f"through|k3s|{through}"])


@pytest.mark.parametrize(
    ("arguments", "config", "through"),
    [
        (["--container-runtime-endpoint=unix:///var/run/cri-dockerd.sock"], "", "unix:///var/run/cri-dockerd.sock"),
        (["--v", "2", "--container-runtime-endpoint", "/run/x.sock"], 'containerRuntimeEndpoint: "/run/y.sock"\n', "/run/x.sock"),
        (["--v=2"], 'a: b\ncontainerRuntimeEndpoint: "unix:///run/y.sock"\n', "unix:///run/y.sock"),
        (["--v=2"], "a: b\n", None),
    ],
)  # fmt: skip
def test_what_a_kubelet_is_told_to_pull_through(
    arguments: list[str], config: str, through: str | None, tmp_path: Path
) -> None:
    write(tmp_path, "var/lib/kubelet/config.yaml", config)
    with subprocess.Popen(
        ["sh", "-c", "read line; :", "kubelet", *arguments], stdin=subprocess.PIPE
    ) as kubelet:
        program(tmp_path / "bin", "systemctl", f"echo {kubelet.pid}")
        lines = ["loaded=' kubelet.service crio.service'", Docker().script([])]
        command = below(tmp_path, script(facts.FUNCTIONS, *lines))
        path = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, env=path)
        kubelet.communicate(b"\n")
    assert done.stdout.split()[:-1] == ([] if through is None else [f"through|kubelet|{through}"])


@pytest.mark.parametrize(
    ("path", "text", "unsupported"),
    [
        ("etc/rancher/k3s/config.yaml", "data-dir: ROOT/a|b\n", "a|b"),
        ("etc/containerd/config.toml", 'imports = ["conf|d/x.toml"]\n', "etc/containerd/conf|d/x.toml"),
        ("etc/containerd/config.toml", "plugins.cri.registry.config_path = 'ROOT/c|d'\n", "c|d"),
        ("etc/containers/registries.conf.d/a|b.conf", "", "etc/containers/registries.conf.d/a|b.conf"),
    ],
)
def test_a_path_with_a_pipe_in_it_is_unknown(path: str, text: str, unsupported: str, tmp_path: Path) -> None:
    write(tmp_path, path, text)
    write(tmp_path, "etc/containerd/conf|d/x.toml")
    with pytest.raises(FactProcessError) as raised:
        node(tmp_path)
    assert (
        str(raised.value)
        == f"{tmp_path}/{unsupported} has a | in its name, which is not supported: rename it"
    )


def test_paths_texts_and_patterns(tmp_path: Path) -> None:
    conf = write(tmp_path, "etc/containers/registries.conf.d/1 2.conf", "|\n")
    hidden = write(tmp_path, "etc/containers/registries.conf.d/.hidden.conf")
    crio = write(tmp_path, "etc/crio/crio.conf.d/1.conf", "x\n")
    login = write(tmp_path, "var/lib/kubelet/config.json", "é")
    found = node(tmp_path)
    podman = f"{tmp_path}{PODMAN}"
    assert {path: found.paths[path] for path in (login, podman)} == {login: seen(Path(login)), podman: None}
    assert found.texts == {conf: "|\n", hidden: "", crio: "x\n", login: "é"}


def program(folder: Path, name: str, text: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def path_with(folder: Path) -> str:
    """A search path that has only the programs a script needs, and those in `folder`."""
    needed = folder.parent / "needed"
    needed.mkdir()
    for name in (
        "sh",
        "stat",
        "sha256sum",
        "base64",
        "grep",
        "gzip",
        "sed",
        "tr",
        "sort",
        "cut",
        "cat",
        "readlink",
        "tail",
        "date",
        "head",
        "wc",
    ):
        (needed / name).symlink_to(f"/usr/bin/{name}")
    return f"{folder}:{needed}"


VERSION = "echo containerd github.com/containerd/containerd/v2 v2.1.5 abc"


def test_programs_show_which_runtimes_there_are(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    for name in ("podman", "crio"):
        program(folder, name)
    program(folder, "containerd", VERSION)
    lines = answer(tmp_path, path_with(folder))
    assert {line for line in lines if line.startswith(("runtime", "containerd"))} >= {
        "runtime|crio",
        "runtime|podman",
        "runtime|containerd",
        "containerd|v2.1.5",
    }


def test_the_default_s_version_is_asked_for_if_there_is_no_configuration(tmp_path: Path) -> None:
    default = '[ "$1 $2" != "config default" ] || { printf "[x]\\n  version = 7\\n[y]\\n" | sed "1s/.*/version = 4/"; exit; }'
    program(tmp_path / "bin", "containerd", f"{default}\n{VERSION}")
    search = path_with(tmp_path / "bin")
    assert "default|4" in answer(tmp_path, search)
    write(tmp_path, "etc/containerd/config.toml")
    assert not [line for line in answer(tmp_path, search) if line.startswith("default|")]


def test_the_containerd_of_k3s_and_rke2_is_no_runtime_of_its_own(tmp_path: Path) -> None:
    program(tmp_path / "var" / "rancher" / "rke2" / "bin", "containerd", VERSION)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "containerd").symlink_to(tmp_path / "etc/rancher/rke2/bin/containerd")
    (tmp_path / "bin" / "ctr").symlink_to(tmp_path / "bin/k3s")
    lines = answer(tmp_path, path_with(tmp_path / "bin"))
    assert not [
        line for line in lines if "containerd" in line and line.startswith(("runtime|", "containerd|"))
    ]


ANSWER = [
    "path|/a",
    "text|/b|eAo=",
    "unit|k3s-agent.service",
    "started|k3s-agent.service|12.5|7",
    "unit|containerd.service",
    "unit|crio.service",
    "requiring|docker.service",
    "failing|crio.service",
    "socket|/run/own.sock",
    "default|4",
    "through|k3s|docker",
    "runtime|podman",
    "runtime|containerd",
    "containerd|1.6.20~ds1",
    "config|/etc/containerd/config.toml",
    "data|k3s|/d",
    "mount|yes",
    "end",
]


def test_a_complete_answer() -> None:
    assert ClusterNodeFact().process(ANSWER) == Node(
        runtimes=frozenset({"k3s", "crio", "podman", "containerd"}),
        started={"k3s-agent.service": 12.5},
        containerd_version="1.6.20~ds1",
        containerd_config="/etc/containerd/config.toml",
        data={"k3s": "/d"},
        paths={"/a": None},
        texts={"/b": "x\n"},
        client=ClientHost(HostsFile(is_mount=True)),
        requiring_containerd=frozenset({"docker.service"}),
        failing=frozenset({"crio.service"}),
        containerd_socket="/run/own.sock",
        containerd_default=4,
        through={"k3s": "docker"},
    )


@pytest.mark.parametrize("kept", range(len(ANSWER)))
def test_an_answer_that_is_cut_short_anywhere_is_unknown(kept: int) -> None:
    with pytest.raises(FactProcessError):
        ClusterNodeFact().process(ANSWER[:kept])
