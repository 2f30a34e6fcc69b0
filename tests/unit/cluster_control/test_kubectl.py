"""How kubectl is found, and what the cluster's fact reads from its output.

The fact's script runs in a real sh. kubectl is a stub that prints what the template would print, and records its
arguments.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.exceptions import FactProcessError

from tasks.cluster_control import kubectl, kubectl_errors
from tasks.cluster_control.facts import ClusterFact
from tasks.cluster_control.plan import Cluster
from tasks.cluster_control.pull_secrets import Ref
from tasks.cluster_control.service_accounts import ServiceAccount
from tasks.remote.steps import Conflict
from tasks.settings.load import Settings


def hexadecimal(text: str) -> str:
    """Return a text as the template prints fields that others may fill with anything."""
    return text.encode().hex()


MADE = "2026-11-27T07:00:00Z"
OURS = f"{hexadecimal('kubernetes.io/dockerconfigjson')}|homelab-registry|{MADE}"
ENTRIES = ("mine", "a,b|c\ncomplete|yes", "registry-credentials")
PRINTED = f"""\
namespace|default|
namespace|old|terminating
node|k3s-1|{hexadecimal("192.0.2.21")}|{hexadecimal("k3s-1")}
docker_node|k3s-1
account|default|default|12|{hexadecimal("registry-credentials")}|{",".join(map(hexadecimal, ENTRIES))},
object|Secret|a|registry-credentials|{OURS}|6869,6869,|k=c2VjcmV0;
object|Secret|b|registry-credentials|{hexadecimal("Opaque")}||{MADE}||
object|Secret|c|registry-credentials|{OURS}|6869,|=
"""
INPUT_DUMP = "Error executing template: printing more\n\traw data was:\n\t\t{c2VjcmV0}\n"
"""How kubectl prints all of its input if a template fails (cli-runtime, pkg/printers/template.go)."""


class Host:
    """A folder with a stub of kubectl, the only one that the script can find."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()

    def program(self, name: str, output: str = PRINTED, error: str = "", code: int = 0) -> None:
        (self.folder / "output").write_text(output)
        (self.folder / "error").write_text(error)
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f'#!/bin/sh\nprintf "%s\\n" "$@" > {self.folder}/arguments\nenv > {self.folder}/environment\n'
            f"cat {self.folder}/output\ncat {self.folder}/error >&2\nexit {code}\n"
        )
        path.chmod(0o755)

    def ask(self, environment: dict[str, str] | None = None, **settings: Any) -> Cluster:
        command = ClusterFact().command(Settings.model_validate(settings))
        for folder in ("/usr/local/sbin", "/usr/sbin", "/sbin"):
            command = command.replace(f":{folder}", "")
        for folder in kubectl.FOLDERS:
            command = command.replace(f":{folder}", f":{self.folder}{folder}")
        for path in kubectl.CONFIGURATIONS:
            command = command.replace(path, f"{self.folder}{path}")
        tools = self.folder / "tools"
        tools.mkdir(exist_ok=True)
        for tool in ("cat", "cut", "env", "find", "getent", "id", "sed", "sha256sum", "stat", "timeout"):
            if not (tools / tool).exists():
                (tools / tool).symlink_to(f"/usr/bin/{tool}")
        given = {"PATH": f"{self.folder}:{tools}", "HOME": str(self.home), **(environment or {})}
        done = subprocess.run(
            ["/bin/sh", "-c", command], env=given, capture_output=True, text=True, check=True
        )
        self.printed = done.stdout
        return ClusterFact().process(done.stdout.splitlines())

    @property
    def arguments(self) -> list[str]:
        return (self.folder / "arguments").read_text().splitlines()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_what_the_fact_returns(host: Host) -> None:
    host.program("kubectl")
    (host.home / ".kube").mkdir()
    (host.home / ".kube/config").write_text("")
    found = host.ask()
    assert found.namespaces == {"default": False, "old": True}
    assert found.nodes == {"k3s-1": frozenset({"k3s-1", "192.0.2.21"})}
    assert found.docker_nodes == {"k3s-1"}
    assert found.accounts == {
        Ref("ServiceAccount", "default", "default"): ServiceAccount("12", ENTRIES, "registry-credentials")
    }
    assert (found.errors, found.unreadable) == ((), frozenset())


def test_only_a_digest_of_a_secret_is_returned_and_nothing_is_exported(host: Host) -> None:
    host.program("kubectl")
    found = host.ask({"KUBECONFIG": "/x", "line": "was exported", "data": "was too"})
    digests = {ref.namespace: each.digest for ref, each in found.objects.items()}
    assert digests["a"] == digests["c"] == hashlib.sha256(b"k=c2VjcmV0;").hexdigest()
    assert digests["b"] == ""
    assert "c2VjcmV0" not in host.printed
    assert not {"line", "data"} & {
        line.partition("=")[0] for line in (host.folder / "environment").read_text().splitlines()
    }
    ours = found.objects[Ref("Secret", "a", "registry-credentials")]
    assert (ours.managers, ours.ours) == (("hi",), True)


def test_the_input_that_kubectl_prints_when_a_template_fails_is_dropped(host: Host) -> None:
    host.program("kubectl", PRINTED + INPUT_DUMP, "error: error executing template", 1)
    found = host.ask({"KUBECONFIG": "/x"})
    assert found.errors == ("error: error executing template",)
    assert "c2VjcmV0" not in host.printed


@pytest.mark.parametrize(
    ("program", "there", "settings", "expected"),
    [
        ("kubectl", ["/home/.kube/config", "/etc/rancher/k3s/k3s.yaml"], {}, "/home/.kube/config"),
        (
            "kubectl",
            ["/etc/kubernetes/admin.conf", "/etc/rancher/k3s/k3s.yaml"],
            {},
            "/etc/kubernetes/admin.conf",
        ),
        ("k3s", ["/etc/rancher/k3s/k3s.yaml"], {}, "/etc/rancher/k3s/k3s.yaml"),
        ("usr/local/bin/k3s", ["/etc/rancher/k3s/k3s.yaml"], {}, "/etc/rancher/k3s/k3s.yaml"),
        (
            "var/lib/rancher/rke2/bin/kubectl",
            ["/etc/rancher/rke2/rke2.yaml", "/etc/rancher/k3s/k3s.yaml"],
            {},
            "/etc/rancher/rke2/rke2.yaml",
        ),
        ("k3s", ["/etc/rancher/k3s/k3s.yaml"], {"registry_kubeconfig": "/my/own"}, None),
        ("microk8s", ["/etc/rancher/k3s/k3s.yaml"], {}, ""),
        ("snap/bin/microk8s", [], {}, ""),
    ],
)
def test_program_and_configuration_are_found(
    host: Host, program: str, there: list[str], settings: dict[str, Any], expected: str | None
) -> None:
    host.program(program)
    for path in there:
        Path(f"{host.folder}{path}").parent.mkdir(parents=True, exist_ok=True)
        Path(f"{host.folder}{path}").write_text("")
    found = host.ask(**settings)
    assert found.config == ("/my/own" if expected is None else expected and f"{host.folder}{expected}")
    name = Path(program).name
    assert found.program == (name if name == "kubectl" else f"{name} kubectl")
    assert ("kubectl" in host.arguments[:1]) == (name != "kubectl")
    assert ("--kubeconfig" in host.arguments) == bool(found.config)


def test_the_context_is_passed_on(host: Host) -> None:
    host.program("kubectl")
    host.ask({"KUBECONFIG": "/x"}, registry_kube_context="home")
    assert host.arguments[:2] == ["--context", "home"]


def be_root(host: Host, owner: int) -> None:
    """Let the script find that it is root's, and that every file belongs to a user; what it then runs as is recorded."""
    stubs = {
        "id": "echo 0",
        "stat": f"echo {owner}",
        "getent": "echo alice:x:1000:1001::/home/alice:/bin/sh",
        "setsid": f'echo "$@" > {host.folder}/run-as; shift 6; exec "$@"',
    }
    for name, text in stubs.items():
        (host.folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (host.folder / name).chmod(0o755)


def test_with_a_users_configuration_kubectl_runs_as_that_user(host: Host) -> None:
    """It may name programs, which kubectl runs."""
    host.program("kubectl")
    config = host.folder / "theirs"
    config.touch()
    be_root(host, 1000)
    host.ask(registry_kubeconfig=str(config))
    given = (host.folder / "run-as").read_text()
    assert "setpriv --reuid=1000 --regid=1001 --init-groups -- env -i LC_ALL=C HOME=/home/alice" in given
    assert f"timeout 300 {host.folder}/kubectl --kubeconfig {config} " in given
    environment = (host.folder / "environment").read_text()
    assert "HOME=/home/alice" in environment
    assert "KUBECTL_KUBERC=false" in environment
    be_root(host, 0)
    host.ask(registry_kubeconfig=str(config))
    assert host.arguments[:2] == ["--kubeconfig", str(config)]


@pytest.mark.parametrize(("mode", "refused"), [(0o600, False), (0o644, False), (0o646, True), (0o666, True)])
def test_a_configuration_of_root_that_others_can_write_is_not_used(
    host: Host, mode: int, refused: bool
) -> None:
    host.program("kubectl")
    config = host.folder / "k3s.yaml"
    config.touch()
    config.chmod(mode)
    be_root(host, 0)
    found = host.ask(registry_kubeconfig=str(config))
    assert (host.folder / "arguments").exists() is not refused
    if refused:
        assert str(kubectl_errors.read_conflict(found.errors, found.config)) == (
            f"{config} can be written by others than root, and may name programs that kubectl then runs as root; "
            f"chmod go-w {config} and run again"
        )


def test_without_kubectl_or_configuration_the_error_says_where_it_looked(host: Host) -> None:
    found = host.ask()
    with pytest.raises(Conflict, match="there is no kubectl here"):
        kubectl.check_found(found.program, found.config)
    host.program("kubectl")
    found = host.ask()
    with pytest.raises(Conflict, match=r"no configuration here.*k3s\.yaml.*set registry_kubeconfig"):
        kubectl.check_found(found.program, found.config)


def test_an_answer_that_was_cut_short_is_an_error(host: Host) -> None:
    host.program("kubectl")
    host.ask({"KUBECONFIG": "/x"})
    kept = [line for line in host.printed.splitlines() if line != "complete|yes"]
    with pytest.raises(FactProcessError, match="cut short"):
        ClusterFact().process(kept)


def test_kinds_without_the_right_to_list_are_reported_and_the_others_read(host: Host) -> None:
    error = (
        'Error from server (Forbidden): nodes is forbidden: User "u" cannot list resource "nodes" in API group "" '
        "at the cluster scope\n"
    )
    host.program("kubectl", error=error, code=1)
    found = host.ask({"KUBECONFIG": "/x"})
    assert found.unreadable == {"nodes"}
    assert found.namespaces


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a"], "a"),
        (["a", "b", "c"], "a, b, c"),
        ([f"n{number}" for number in range(200)], "200 namespaces (n0, n1, n2, …)"),
    ],
)
def test_names_fit_on_one_line(names: list[str], expected: str) -> None:
    assert kubectl.join_names(names) == expected
    assert kubectl.join_names(names, "nodes") == expected.replace("namespaces", "nodes")
