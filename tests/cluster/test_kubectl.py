"""kubectl where each distribution installs it, and with the configuration and context of the settings.

K3s, RKE2 and MicroK8s cannot be installed here. Stubs have what matters: the path of the program, how it is called, and the
path of its configuration. They call upstream's kubectl, which the distributions include as well.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

import pytest

from tasks.cluster_control.pull_secrets import document
from tasks.room.cluster import ClusterUsesFact
from tasks.settings.load import Settings
from tests import pages
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


def test_the_commands_of_the_pages(served: Served) -> None:
    control = served.cluster.control
    assert control.run(pages.in_text("docs/messages.md", "kubectl get --raw /readyz")).stdout == "ok"
    control.run(pages.in_text("docs/messages.md", "kubectl get validatingwebhookconfigurations"))
    accounts = control.run(pages.in_text("docs/messages.md", "kubectl get sa "))
    assert "manager: homelab-registry" in accounts.stdout
    control.run(pages.in_text("docs/by-task.md", "kubectl -n kube-public delete configmap "))
    assert served.run(**ALL).steps == [
        "write the ConfigMap local-registry-hosting in kube-public: it is missing"
    ]
    control.write("/root/ca.crt", served.deployment.store.ca_bundle_path.read_text())
    create = pages.line("docs/other-machines.md", "kubectl -n flux-system ").replace(
        "flux-system", "team-100"
    )
    control.run(f"cd /root && {create}")
    made = ("secret", "homelab-registry-ca", "-n", "team-100")
    assert list(served.cluster.get(*made)["data"]) == ["ca.crt"]
    served.cluster.kubectl("delete", *made)


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


POD_SPEC = {
    "initContainers": [{"name": "i", "image": "r/init:1"}],
    "containers": [{"name": "c", "image": "r/IT:1"}],
}


def template(name: str) -> dict[str, Any]:
    return {"metadata": {"labels": {"a": "b"}}, "spec": json.loads(json.dumps(POD_SPEC).replace("IT", name))}


def workload(kind: str, name: str, version: str = "apps/v1", **spec: object) -> dict[str, Any]:
    selector = {"selector": {"matchLabels": {"a": "b"}}} if version == "apps/v1" else {}
    metadata = {"name": name, "namespace": "default"}
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": metadata,
        "spec": {**selector, "template": template(name), **spec},
    }


def test_every_image_that_the_cluster_runs_will_run_or_keeps_is_read(served: Served) -> None:
    """Nothing of it runs: the ReplicaSet is one that is kept for a rollback."""
    control, settings = served.cluster.control, Settings()
    cron = {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": template("cron")}}}
    cron["jobTemplate"]["spec"]["template"]["spec"]["restartPolicy"] = "Never"  # type: ignore[index]
    job = workload("Job", "job", "batch/v1", suspend=True)
    job["spec"]["template"]["spec"]["restartPolicy"] = "Never"
    pod = {**POD_SPEC, "volumes": [{"name": "v", "image": {"reference": "r/volume:1"}}], "nodeName": "gone"}
    metadata = {"name": "pod", "namespace": "default"}
    applied = [
        workload("ReplicaSet", "rollback", replicas=0),
        workload("StatefulSet", "stateful", replicas=0, serviceName="x"),
        workload("DaemonSet", "daemon"),
        workload("Deployment", "deployment", replicas=0),
        workload("ReplicationController", "controller", "v1", replicas=0, selector={"a": "b"}),
        job,
        {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata | {"name": "cron"}, "spec": cron},
        {"apiVersion": "v1", "kind": "PodTemplate", "metadata": metadata, "template": template("template")},
        {
            "apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": metadata, "revision": 1,
            "data": {"spec": {"template": template("revision")}},
        },
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod},
    ]  # fmt: skip
    served.cluster.kubectl("apply", "-f", "-", stdin=document(applied))
    status = {"containerStatuses": [{"name": "c", "image": "r/it:1", "imageID": "r/it@sha256:" + "a" * 64, "ready": True,
                                     "restartCount": 0}]}  # fmt: skip
    served.cluster.kubectl(
        "patch", "pod", "pod", "--subresource=status", "--type=merge", "-p", json.dumps({"status": status})
    )
    fact = ClusterUsesFact()
    found = fact.process(control.run(fact.command(settings)).stdout.splitlines())
    served.cluster.kubectl("delete", "--wait=false", "--force", "-f", "-", stdin=document(applied))
    assert found.unread == ()
    by_text = {use.text: use.by for use in found.found if use.by.split(" ")[1].startswith("default/")}
    assert {text.partition(":")[0].removeprefix("r/") for text in by_text} >= {
        "rollback", "stateful", "daemon", "deployment", "controller", "job", "cron", "template", "revision", "IT", "init",
        "volume", "it@sha256",
    }  # fmt: skip
    assert by_text["r/rollback:1"] == "ReplicaSet default/rollback"
    assert by_text["r/volume:1"] == "Pod default/pod on gone"


def test_a_cluster_that_refuses_is_unknown(served: Served) -> None:
    served.cluster.control.write(
        "/root/few.conf", served.cluster.authority.kubeconfig(served.cluster.server, "few", ["few"]), "0600"
    )
    fact = ClusterUsesFact()
    settings = Settings(registry_kubeconfig="/root/few.conf")
    found = fact.process(served.cluster.control.run(fact.command(settings)).stdout.splitlines())
    (line,) = found.unread
    assert line.startswith('the cluster: the user "few" may not list pods, ')
    assert found.found == ()
