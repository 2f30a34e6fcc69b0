"""kubectl where each distribution installs it, and with the configuration and context of the settings.

K3s, RKE2 and MicroK8s cannot be installed here. Stubs have what matters: the path of the program, how it is called, and the
path of its configuration. They call upstream's kubectl, which the distributions include as well.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator

import pytest

from tests.bench.cluster import BIN
from tests.cluster.served import ALL, NAME, OWN, RECORDER, Served

pytestmark = pytest.mark.usefixtures("settled")

MICROK8S = "/var/snap/microk8s/current/credentials/client.config"
SUBCOMMAND = (
    '#!/bin/sh\n# Not {0}: of its commands it has kubectl alone.\n[ "$1" = kubectl ] || exit 64\nshift\n'
)
FAKES = {
    # k3s, cmd/k3s/main.go
    "k3s": ("/usr/local/bin/k3s", f'{SUBCOMMAND}exec {RECORDER} "$@"\n', "/etc/rancher/k3s/k3s.yaml"),
    # docs.rke2.io, "Cluster Access"
    "RKE2": (
        "/var/lib/rancher/rke2/bin/kubectl",
        f'#!/bin/sh\n# Not {{0}}\nexec {RECORDER} "$@"\n',
        "/etc/rancher/rke2/rke2.yaml",
    ),
    # microk8s, microk8s-resources/wrappers/microk8s-kubectl.wrapper
    "MicroK8s": (
        "/snap/bin/microk8s",
        f'{SUBCOMMAND}exec {RECORDER} --kubeconfig={MICROK8S} "$@"\n',
        MICROK8S,
    ),
}


@pytest.fixture
def without_kubectl(served: Served) -> Iterator[str]:
    """Take kubectl and its configuration from the host; return the configuration."""
    config = served.cluster.control.read(OWN)
    served.cluster.control.run(f"rm {BIN}/kubectl && mv {OWN} /root/aside")
    yield config
    served.cluster.control.run(f"ln -s {RECORDER} {BIN}/kubectl && mv /root/aside {OWN}")


@pytest.mark.parametrize("distribution", FAKES)
def test_each_distributions_kubectl(served: Served, without_kubectl: str, distribution: str) -> None:
    program, script, configuration = FAKES[distribution]
    control = served.cluster.control
    control.write(program, script.format(distribution), "0755")
    control.write(configuration, without_kubectl, "0600")
    served.cluster.kubectl("delete", "secret", NAME, "-n", "team-060")
    ran = served.run(**ALL)
    control.run(f"rm {program} {configuration}")
    assert (ran.exit_code, served.calls) == (0, ["get", "apply"]), ran.output
    assert served.login("team-060").startswith("cluster:")


def test_without_kubectl_one_line_says_where_it_was_looked_for(served: Served, without_kubectl: str) -> None:
    ran = served.run(**ALL)
    (problem,) = ran.problems
    assert "there is no kubectl here" in problem
    assert ran.exit_code == 1


def test_the_settings_configuration_and_context_win(served: Served) -> None:
    """The configuration's own context leads nowhere, and root has another configuration."""
    config = json.loads(served.cluster.control.read(OWN))
    config["clusters"].append({"name": "nowhere", "cluster": {"server": "https://127.0.0.1:1"}})
    config["contexts"].append({"name": "nowhere", "context": {"cluster": "nowhere", "user": "me"}})
    served.cluster.control.write(
        "/root/two.conf", json.dumps(config | {"current-context": "nowhere"}), "0600"
    )
    ran = served.run(**ALL, registry_kubeconfig="/root/two.conf")
    (problem,) = ran.problems
    assert "the API server at 127.0.0.1:1 does not answer: connection refused" in problem
    assert "/root/two.conf" in problem
    ran = served.run(**ALL, registry_kubeconfig="/root/two.conf", registry_kube_context="bench")
    assert (ran.exit_code, ran.steps) == (0, []), ran.output


def test_a_users_configuration_is_used_with_that_users_rights(served: Served) -> None:
    """It has its credentials from a program, which would run as root otherwise."""
    control, plugin = served.cluster.control, "/home/alice/plugin"
    control.run("useradd -m -d /home/alice alice")
    config = json.loads(control.read(OWN))
    mine = config["users"][0]["user"]
    status = {
        "clientCertificateData": b64decode(mine["client-certificate-data"]).decode(),
        "clientKeyData": b64decode(mine["client-key-data"]).decode(),
    }
    version = "client.authentication.k8s.io/v1"
    credential = json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status})
    control.write(plugin, f"#!/bin/sh\nid -un >> /tmp/as-whom\ncat <<'END'\n{credential}\nEND\n", "0755")
    how = {"apiVersion": version, "command": plugin, "interactiveMode": "Never"}
    config["users"][0]["user"] = {"exec": how}
    control.write("/home/alice/config", json.dumps(config), "0600")
    control.run("chown alice: /home/alice/config /home/alice/plugin")
    served.cluster.kubectl("delete", "secret", NAME, "-n", "team-061")
    ran = served.run(**ALL, registry_kubeconfig="/home/alice/config")
    assert ran.exit_code == 0, ran.output
    assert served.login("team-061").startswith("cluster:")
    assert set(control.read("/tmp/as-whom").split()) == {"alice"}
    control.run("chown root: /home/alice/config && chmod 0666 /home/alice/config && rm /tmp/as-whom")
    ran = served.run(**ALL, registry_kubeconfig="/home/alice/config")
    (problem,) = ran.problems
    assert "/home/alice/config can be written by others than root" in problem
    control.run("test ! -e /tmp/as-whom")
