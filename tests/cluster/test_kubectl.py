"""kubectl where each distribution has it, and with the configuration and the context that are set.

K3s, RKE2 and MicroK8s are not to be had here. What stands in for each is what matters of it: where its program is, what it
is called with, and where its configuration is; the kubectl in it is upstream's own there too, and here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.bench.cluster import BIN
from tests.cluster.served import ALL, NAME, NOTING, OWN, Served

pytestmark = pytest.mark.usefixtures("settled")

MICROK8S = "/var/snap/microk8s/current/credentials/client.config"
SUBCOMMAND = (
    '#!/bin/sh\n# Not {0}: of its commands it has kubectl alone.\n[ "$1" = kubectl ] || exit 64\nshift\n'
)
FAKES = {
    # k3s, cmd/k3s/main.go
    "k3s": ("/usr/local/bin/k3s", f'{SUBCOMMAND}exec {NOTING} "$@"\n', "/etc/rancher/k3s/k3s.yaml"),
    # docs.rke2.io, "Cluster Access"
    "RKE2": (
        "/var/lib/rancher/rke2/bin/kubectl",
        f'#!/bin/sh\n# Not {{0}}\nexec {NOTING} "$@"\n',
        "/etc/rancher/rke2/rke2.yaml",
    ),
    # microk8s, microk8s-resources/wrappers/microk8s-kubectl.wrapper
    "MicroK8s": ("/snap/bin/microk8s", f'{SUBCOMMAND}exec {NOTING} --kubeconfig={MICROK8S} "$@"\n', MICROK8S),
}


@pytest.fixture
def without_kubectl(served: Served) -> Iterator[str]:
    """The host has neither kubectl nor a configuration for it; returns one."""
    config = served.cluster.control.read(OWN)
    served.cluster.control.run(f"rm {BIN}/kubectl && mv {OWN} /root/aside")
    yield config
    served.cluster.control.run(f"ln -s {NOTING} {BIN}/kubectl && mv /root/aside {OWN}")


@pytest.mark.parametrize("distribution", FAKES)
def test_each_distribution_s_own(served: Served, without_kubectl: str, distribution: str) -> None:
    program, script, configuration = FAKES[distribution]
    control = served.cluster.control
    control.write(program, script.format(distribution), "0755")
    control.write(configuration, without_kubectl, "0600")
    served.cluster.kubectl("delete", "secret", NAME, "-n", "team-060")
    ran = served.run(**ALL)
    control.run(f"rm {program} {configuration}")
    assert (ran.exit_code, served.calls) == (0, ["get", "apply"]), ran.output
    assert served.login("team-060").startswith("cluster:")


def test_where_there_is_none_a_line_says_where_it_was_looked_for(
    served: Served, without_kubectl: str
) -> None:
    ran = served.run(**ALL)
    (problem,) = ran.problems
    assert "there is no kubectl here" in problem
    assert ran.exit_code == 1


def test_the_configuration_and_the_context_that_are_set_win(served: Served) -> None:
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
