"""A cluster node on a real host: containerd 1.6 beside the registry, and a fake K3s unit."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tasks.cluster_nodes.runtimes import containerd_config
from tasks.remote import toml_edit
from tests import pages, printed
from tests.bench import registry_images
from tests.bench.hosts import BenchHost
from tests.bench.programs import REGISTRIES_PULL
from tests.bench.recipes import BOOKWORM_DOCKER
from tests.fleet.deployment import Deployment
from tests.unit.cluster_nodes.runtimes.containerd_shapes import SHAPES, V1_6

NAME = "registry.homelab.local"
CONFIG, FOLDER = "/etc/containerd/config.toml", f"/etc/containerd/certs.d/{NAME}"
FACTS_PER_NODE = 2  # the look at the host, and the node's own fact
REGISTRY_FACTS = 1

# A fake K3s, which processes registries.yaml at its start as K3s does (pkg/agent/containerd/config.go).
FAKE_K3S = r"""#!/bin/sh
# Not K3s: it writes a hosts.toml for every CA and mirror of ours in registries.yaml, and waits.
if [ "$1" = ctr ]; then systemctl -q is-active k3s && echo io.containerd.grpc.v1 cri - ok; exit; fi
if [ "$*" = "kubectl --kubeconfig /etc/rancher/k3s/k3s.yaml get --raw /readyz" ]; then  # ready when asked twice after a start
    asked=$(($(cat /run/k3s-asked) + 1)); echo $asked > /run/k3s-asked; [ $asked -gt 2 ]; exit
fi
! grep -qsf /etc/k3s-refuses /etc/rancher/k3s/registries.yaml || exit 1
made=/var/lib/rancher/k3s/agent/etc/containerd/certs.d; rm -rf "$made"; mkdir -p "$made"
name=; ours=/etc/rancher/k3s/homelab-registry-ca.crt
sed -n 's/^  "\(.*\)":\( #.*\)\{0,1\}$/name \1/p;s/^      ca_file: /ca /p;s/^      - "\(.*\)"$/at \1/p' /etc/rancher/k3s/registries.yaml |
while read -r key value; do
    if [ "$key" = name ]; then name=$value; continue; fi
    mkdir -p "$made/$name"
    case $key in
        (ca) printf 'server = "https://%s/v2"\nca = ["%s"]\n' "$name" "$value" ;;
        (at) printf '[host."%s/v2"]\n  ca = ["%s"]\n' "$value" "$ours" ;;
    esac > "$made/$name/hosts.toml"
done
echo started >> /run/fake-k3s; echo 0 > /run/k3s-asked
systemd-notify --ready
exec sleep infinity
"""
UNIT = "[Service]\nType=notify\nNotifyAccess=all\nExecStart=/usr/local/bin/k3s\n"


@pytest.fixture(scope="module")
def node(host: BenchHost, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """The registry and a node on one host, not deployed yet."""
    target = f"@docker/{host.name}"
    folder = tmp_path_factory.mktemp("node")
    return Deployment(folder, f"registry = [{target!r}]\ncluster_nodes = [{target!r}]\n")


def invocation_id(host: BenchHost, unit: str = "containerd") -> str:
    return host.run(f"systemctl show -p InvocationID --value {unit}").stdout


def assert_converged(node: Deployment, more: int = 0) -> None:
    ran = node.run()
    assert (ran.exit_code, ran.steps) == (0, []), ran.output
    assert len([line for line in ran.commands if " host" in line]) == FACTS_PER_NODE + REGISTRY_FACTS + more


def test_containerd_is_configured_restarted_once_and_then_left_alone(
    host: BenchHost, node: Deployment
) -> None:
    before, first = host.read(CONFIG), invocation_id(host)
    planned = node.plan()
    assert (host.read(CONFIG), invocation_id(host)) == (before, first)
    ran = node.run()
    assert ran.exit_code == 0, ran.output
    assert planned.steps == ran.steps
    assert ran.trusted_by("containerd") == [f"@docker/{host.name}"]
    assert host.read(CONFIG) == before + (
        f'\n[plugins."{containerd_config.CRI_2}".registry]\nconfig_path = "/etc/containerd/certs.d"\n'
    )
    restarted = invocation_id(host)
    assert restarted != first
    assert host.run("docker ps -q | wc -l").stdout.strip() == "2"  # the registry was up all the time
    assert_converged(node)
    assert invocation_id(host) == restarted


def test_containerd_pulls_only_with_our_files(host: BenchHost, node: Deployment) -> None:
    password = (node.folder / "state/accounts/ci.password").read_text().strip()
    pull = "ctr images pull --hosts-dir {} -u ci:$(cat) " + f"{NAME}/team/x"
    host.run(
        f"cd /tmp && echo x > x && tar c x | docker import - {NAME}/team/x:1 && mkdir -p /etc/docker/certs.d/{NAME} "
        f"&& cp {FOLDER}/ca.crt /etc/docker/certs.d/{NAME} && docker login -u ci --password-stdin {NAME} "
        f"&& docker push {NAME}/team/x:1 && rm -r /etc/docker/certs.d/{NAME}",
        stdin=password,
    )
    assert "done" in host.run(pull.format("/etc/containerd/certs.d") + ":1", stdin=password).stdout
    # A missing tag is reported as missing.
    missing = host.run(pull.format("/etc/containerd/certs.d") + ":2", stdin=password, check=False)
    assert missing.exit_code != 0
    assert missing.stderr.strip().endswith("not found")
    refused = host.run(pull.format("/nowhere") + ":1", stdin=password, check=False)
    assert "certificate signed by unknown authority" in refused.stderr
    host.run(
        f"mkdir -p /tmp/wrong/{NAME} && sed 's|{FOLDER}|/tmp/wrong|' {FOLDER}/hosts.toml > /tmp/wrong/{NAME}/hosts.toml "
        "&& openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /dev/null -subj /CN=x "
        "-out /tmp/wrong/ca.crt 2>/dev/null"
    )
    refused = host.run(pull.format("/tmp/wrong") + ":1", stdin=password, check=False)
    assert "certificate signed by unknown authority" in refused.stderr


CA, HOSTS_TOML = f"{FOLDER}/ca.crt", f"{FOLDER}/hosts.toml"


@pytest.mark.parametrize(
    ("change", "steps"),
    [
        (
            f"rm {CA}; chmod 600 {HOSTS_TOML}; chown 7 {FOLDER}; grep -v homelab-registry /etc/hosts > /tmp/h; cat /tmp/h > /etc/hosts",
            [f"set owner and mode of {FOLDER}: it belongs to 7:0, not 0:0", f"write {CA}: it is missing",
             f"set owner and mode of {HOSTS_TOML}: its mode is 0600, not 0644", "write /etc/hosts: our entry is missing"],
        ),
        (
            f"rm -r {FOLDER}",
            [f"make {FOLDER}: it is missing", f"write {CA}: it is missing", f"write {HOSTS_TOML}: it is missing"],
        ),
    ],
    ids=["files", "folder"],
)  # fmt: skip
def test_drift_is_fixed_without_a_restart(
    host: BenchHost, node: Deployment, change: str, steps: list[str]
) -> None:
    """tests/fleet/test_many_hosts.py has each kind of drift in each file."""
    files = f"cat {CONFIG} /etc/hosts; cd {FOLDER} && stat -c '%n %a %u %g' . * && cat *"
    before, first = host.run(files).stdout, invocation_id(host)
    host.run(change)
    ran = node.run()
    assert ran.exit_code == 0, ran.output
    assert ran.steps == steps
    assert (host.run(files).stdout, invocation_id(host)) == (before, first)
    assert_converged(node)


def test_a_lost_config_path_is_restored_with_one_restart(host: BenchHost, node: Deployment) -> None:
    good = host.read(CONFIG)
    host.write(
        CONFIG,
        "# mine\n" + good.replace('config_path = "/etc/containerd/certs.d"', "config_path = ''  # mine"),
    )
    host.run(f"chown 0:7 {CONFIG} && chmod 640 {CONFIG}")
    first = invocation_id(host)
    ran = node.run()
    assert [step.partition(":")[0] for step in ran.steps] == [f"write {CONFIG}", "restart containerd"]
    assert host.read(CONFIG) == f"# mine\n{good.rstrip()}  # mine\n"
    assert host.run(f"stat -c '%a %g' {CONFIG}").stdout == "640 7\n"
    second = invocation_id(host)
    assert second != first
    assert_converged(node)
    assert invocation_id(host) == second


def test_a_table_that_excludes_a_config_path_is_seen_though_it_is_empty(
    host: BenchHost, node: Deployment
) -> None:
    good, first = host.read(CONFIG), invocation_id(host)
    table = f'[plugins."{containerd_config.CRI_2}".registry.configs."mirror.example:5000".tls]\n'
    theirs = f'version = 2\n\n{table}  # ca_file = "/etc/ssl/mirror.crt"\n'
    host.write(CONFIG, theirs)
    ran = node.run()
    assert ran.exit_code != 0
    [problem] = ran.problems
    assert (
        f"{CONFIG} line 3 has inline registry configs, beside which containerd's CRI does not start"
        in problem
    )
    assert (host.read(CONFIG), invocation_id(host)) == (theirs, first)
    host.write(CONFIG, good)
    assert_converged(node)


def test_a_containerd_that_does_not_come_up_again_gets_its_configuration_back(
    host: BenchHost, node: Deployment
) -> None:
    """Its owner checks the file before each start, in the place of a reason that nobody foresaw."""
    good = host.read(CONFIG)
    theirs = good.replace('config_path = "/etc/containerd/certs.d"', 'config_path = ""')
    host.write(CONFIG, theirs)
    check = "/etc/systemd/system/containerd.service.d/check.conf"
    host.write(check, f"[Service]\nExecStartPre=sh -c '! grep -q certs.d {CONFIG}'\n")
    host.run("systemctl daemon-reload && systemctl restart containerd")
    ran = node.run()
    assert ran.exit_code != 0
    [problem] = ran.problems
    assert "could not restart containerd: containerd did not come up with its new configuration" in problem
    assert "the one from before is back, and it runs with that" in problem
    assert host.read(CONFIG) == theirs
    assert " ok" in host.run("ctr plugins ls id==cri").stdout
    first = invocation_id(host)
    [problem] = node.run().problems
    assert (
        "containerd did not come up with our change of /etc/containerd/config.toml at an earlier run"
        in problem
    )
    assert invocation_id(host) == first
    host.run(f"rm {check} /var/lib/homelab-registry-before/containerd.failed && systemctl daemon-reload")
    assert [step.partition(":")[0] for step in node.run().steps] == [f"write {CONFIG}", "restart containerd"]
    assert host.read(CONFIG) == good
    assert_converged(node)


def test_imports_are_read_in_a_second_round_trip(host: BenchHost, node: Deployment) -> None:
    good = host.read(CONFIG)
    host.write(CONFIG, f'imports = ["conf.d/*.toml"] # mine\n{good}')
    assert_converged(node, more=1)
    inline = f'[plugins."{containerd_config.CRI_2}".registry.mirrors.x]\nendpoint = []\n'
    host.write("/etc/containerd/conf.d/.x.toml", inline)
    ran = node.run()
    assert ran.exit_code != 0
    assert [
        problem
        for problem in ran.problems
        if "/etc/containerd/conf.d/.x.toml line 1 has inline registry mirrors" in problem
    ]
    host.run("rm -r /etc/containerd/conf.d")
    host.write(CONFIG, good)
    assert_converged(node)


def test_a_conflict_changes_nothing(host: BenchHost, node: Deployment) -> None:
    good = host.read(CONFIG)
    host.run(f"rm {FOLDER}/ca.crt")
    host.write(CONFIG, f'{good}[plugins."{containerd_config.CRI_2}".registry.mirrors.x]\nendpoint = []\n')
    ran = node.run()
    line = good.count("\n") + 1
    assert ran.exit_code != 0
    assert [
        problem for problem in ran.problems if f"{CONFIG} line {line} has inline registry mirrors" in problem
    ]
    assert host.run(f"test -e {FOLDER}/ca.crt", check=False).exit_code != 0
    host.write(CONFIG, good)
    assert node.run().steps == [f"write {FOLDER}/ca.crt: it is missing"]


def test_k3s_is_restarted_if_its_generated_files_are_outdated_and_not_for_a_user_s_edit(
    host: BenchHost, node: Deployment
) -> None:
    host.write("/usr/local/bin/k3s", FAKE_K3S, "0755")
    host.write("/etc/systemd/system/k3s.service", UNIT)
    user = "# mine\nmirrors:\n  docker.io:\n    endpoint: ['https://x']\n"
    host.write("/etc/rancher/k3s/registries.yaml", user, "0640")
    host.run("systemctl daemon-reload && systemctl start k3s")
    ran = node.run()
    assert ran.exit_code == 0, ran.output
    assert [step.partition(":")[0] for step in ran.steps] == [
        "write /etc/rancher/k3s/homelab-registry-ca.crt",
        "write /etc/rancher/k3s/registries.yaml",
        "restart k3s.service",
    ]
    assert ran.trusted_by("containerd") == [f"@docker/{host.name}"]
    assert ran.has_ca("K3s") == [f"@docker/{host.name}"]  # a fake one that answers no CRI
    assert host.read("/etc/rancher/k3s/registries.yaml").startswith(user)
    assert host.run("stat -c %a /etc/rancher/k3s/registries.yaml").stdout == "640\n"
    assert_converged(node)
    host.run("echo '# edited' >> /etc/rancher/k3s/registries.yaml")
    assert_converged(node)
    assert host.read("/run/fake-k3s") == "started\n" * 2
    # As if killed between writing the file and the restart: the generated files show that a restart is due.
    host.run(
        "rm -r /var/lib/rancher/k3s/agent/etc/containerd/certs.d; touch /etc/rancher/k3s/registries.yaml"
    )
    # A server whose API server is not ready may be one that its cluster cannot do without.
    host.run("touch /etc/rancher/k3s/k3s.yaml; echo 0 > /run/k3s-asked")
    (problem,) = node.run().problems
    assert "k3s.service was not restarted: its API server is not ready as it is" in problem
    host.run("echo 9 > /run/k3s-asked")
    assert [step.partition(":")[0] for step in node.run().steps] == ["restart k3s.service"]
    assert host.run("cat /run/k3s-asked; rm /etc/rancher/k3s/k3s.yaml").stdout == "3\n"
    assert_converged(node)
    # Restarted since, and still without our entries: this is reported, and K3s is not restarted again and again.
    host.run("rm -r /var/lib/rancher/k3s/agent/etc/containerd/certs.d")
    ran = node.run()
    assert ran.exit_code != 0
    assert [line for line in ran.problems if "k3s.service was started after" in line and "k3s#9839" in line]
    assert host.read("/run/fake-k3s") == "started\n" * 3
    host.run("systemctl restart k3s")


def test_a_mirror_of_our_name_to_itself_and_a_template_that_is_not_in_use_are_no_conflict(
    host: BenchHost, node: Deployment
) -> None:
    path, folder = "/etc/rancher/k3s/registries.yaml", "/var/lib/rancher/k3s/agent/etc/containerd"
    good, starts = host.read(path), host.read("/run/fake-k3s")
    itself = f'mirrors:\n  {NAME}:\n    endpoint:\n      - "https://{NAME}"\n'
    mirrored = good.replace("mirrors:\n", itself)
    host.write(path, mirrored, "0640")
    host.write(f"{folder}/config-v3.toml.tmpl", '{{ template "base" . }}\n')
    host.write(f"{folder}/config.toml.tmpl", "version = 2\n")
    host.write(f"{folder}/config.toml", "version = 3\n")  # as K3s generates it of the newer template
    assert_converged(node)
    # K3s' own module pulls by that mirror, and with the login for our name.
    password = (node.folder / "state/accounts/cluster.password").read_text().strip()
    entry = f'  "{NAME}":\n'
    login = f"{entry}    auth: {{username: cluster, password: {password}}}\n"
    host.write("/root/registries.yaml", mirrored.replace(entry, login), "0600")
    host.give(REGISTRIES_PULL)
    pulled = host.run(f"registries-pull /root/registries.yaml {NAME}/team/x:1")
    assert re.fullmatch(r"sha256:[0-9a-f]{64}\n", pulled.stdout)
    # Without the newer template K3s takes the older one at its next start.
    host.run(f"rm {folder}/config-v3.toml.tmpl")
    ran = node.run()
    assert (ran.exit_code, ran.steps) == (1, []), ran.output
    [problem] = ran.problems
    assert (
        f"{folder}/config.toml.tmpl line 1 sets no config_path, so containerd would not see our CA" in problem
    )
    host.run(f"rm {folder}/config.toml.tmpl {folder}/config.toml")
    host.write(path, good, "0640")
    assert_converged(node)
    assert host.read("/run/fake-k3s") == starts


def test_a_k3s_that_does_not_come_up_again_gets_its_registries_back(
    host: BenchHost, node: Deployment
) -> None:
    path = "/etc/rancher/k3s/registries.yaml"
    good = host.read(path)
    theirs = good.partition("configs:")[0] + "# theirs\n"
    host.write(path, theirs, "0640")
    # As the page takes a node out: without our entry and the CA.
    remove = pages.in_text("docs/by-task.md", "rm /etc/rancher/*/")
    host.run(f"echo homelab-registry-ca > /etc/k3s-refuses && {remove} && systemctl restart k3s")
    ran = node.run()
    assert ran.exit_code != 0
    [problem] = ran.problems
    assert "could not restart k3s.service: K3s did not come up with its new configuration" in problem
    assert "the one from before is back, and it runs with that" in problem
    assert (
        host.run(f"cat {path}; stat -c %a {path}; systemctl is-active k3s").stdout == f"{theirs}640\nactive\n"
    )
    assert "k3s.service" in host.run(pages.in_text("docs/messages.md", "journalctl -u k3s")).stdout
    host.run("rm /etc/k3s-refuses /var/lib/homelab-registry-before/k3s.failed")
    assert node.run().steps[-1].startswith("restart k3s.service")
    assert_converged(node)
    assert host.run("ls /var/lib/homelab-registry-before", check=False).exit_code != 0
    host.write(path, good, "0640")
    assert_converged(node)


def test_a_k3s_that_pulls_through_docker_is_served_as_a_docker_host(
    host: BenchHost, node: Deployment, tmp_path: Path
) -> None:
    """The fake K3s takes no notice of its arguments."""
    path, unit = "/etc/rancher/k3s/registries.yaml", "/etc/systemd/system/k3s.service"
    good, starts = host.read(path), host.read("/run/fake-k3s")
    host.write(path, "# theirs\n")
    host.write(unit, UNIT.replace("/k3s\n", "/k3s server --docker\n"))
    host.run("systemctl daemon-reload")
    target = f"@docker/{host.name}"
    alone = f"registry = [{target!r}]\ncluster_nodes = [({target!r}, {{'registry_runtime': ['docker']}})]\n"
    both = f"{alone}docker_hosts = [{target!r}]\n"
    state = f"{node.folder}/state"
    for name in ("alone", "both"):
        (tmp_path / name).mkdir()
    ran = Deployment(tmp_path / "alone", alone, registry_state_dir=state).run()
    [problem] = ran.problems
    assert (
        "pulled through Docker Engine, so what Docker trusts is what counts; list this host in docker_hosts"
        in problem
    )
    ran = Deployment(tmp_path / "both", both, registry_state_dir=state).run()
    assert ran.exit_code == 0, ran.output
    assert ran.trusted_by("Docker (for pods)") == [f"@docker/{host.name}"]
    assert "K3s" not in ran.output
    assert (host.read(path), host.read("/run/fake-k3s")) == ("# theirs\n", starts)
    host.run(f"rm -r /etc/docker/certs.d/{NAME}")
    host.write(unit, UNIT)
    host.write(path, good)
    host.run("systemctl daemon-reload")


def test_a_registries_yaml_of_rancher_s_is_left_to_rancher(host: BenchHost, node: Deployment) -> None:
    path, agent = "/etc/rancher/k3s/registries.yaml", "/etc/systemd/system/rancher-system-agent.service"
    good, starts = host.read(path), host.read("/run/fake-k3s")
    theirs = '{"configs":{},"mirrors":null}'
    host.write(path, theirs, "0600")
    host.write("/etc/rancher/k3s/config.yaml.d/50-rancher.yaml", "{}\n")
    host.write(agent, "[Service]\nExecStart=sleep infinity\n")
    [problem] = node.run().problems
    assert f"{path} is Rancher's, whose agent rewrites it, and does not name our CA for {NAME}" in problem
    assert (host.read(path), host.read("/run/fake-k3s")) == (theirs, starts)
    host.write("/var/lib/rancher/ca.crt", (node.folder / "state/ca.crt").read_text())
    host.write(
        path, f'{{"configs":{{"{NAME}":{{"auth":null,"tls":{{"ca_file":"/var/lib/rancher/ca.crt"}}}}}}}}'
    )
    ran = node.run()
    assert (ran.exit_code, ran.steps) == (0, []), ran.output
    assert_converged(node, more=1)
    host.run(f"rm {agent} /etc/rancher/k3s/config.yaml.d/50-rancher.yaml")
    host.write(path, good)
    ran = node.run()
    assert (ran.exit_code, ran.steps) == (0, []), ran.output


def test_caches_are_used_without_a_restart_of_containerd_and_taken_back(
    host: BenchHost, node: Deployment
) -> None:
    path, certs, mirror = (
        "/etc/rancher/k3s/registries.yaml",
        "/etc/containerd/certs.d",
        "mirror.homelab.local",
    )
    files = f"cat {path} /etc/hosts; cd {certs} && find . | sort | xargs stat -c '%n %a %u'"
    before, first, starts = host.run(files).stdout, invocation_id(host), host.read("/run/fake-k3s")
    state = f"{node.folder}/state"
    registry_images.load(host, caches=True)
    host.run(f"echo nameserver {host.address} > /etc/resolv.conf")  # there is none: nothing is asked for here
    node.set(registry_state_dir=state, registry_caches=["quay.io"])
    ran = node.run()
    assert ran.exit_code == 0, ran.output
    assert [step.partition(":")[0] for step in ran.steps if "k3s" in step or certs in step] == [
        f"write {path}",
        "restart k3s.service",
        *(f"{verb} {certs}/{item}" for verb, item in (
            ("make", mirror), ("write", f"{mirror}/ca.crt"), ("write", f"{mirror}/hosts.toml"),
            ("make", "quay.io"), ("write", "quay.io/hosts.toml"),
        )),
    ]  # fmt: skip
    answered = f"of quay.io answered @docker/{host.name} at {mirror}"
    assert printed.row(ran.output, "Caches") == answered
    assert_converged(node)
    assert (invocation_id(host), host.read("/run/fake-k3s")) == (first, f"{starts}started\n")
    node.set(registry_state_dir=state)
    ran = node.run()
    assert ran.exit_code == 0, ran.output
    assert host.run(files).stdout == before
    assert_converged(node)
    assert (invocation_id(host), host.read("/run/fake-k3s")) == (first, f"{starts}started\nstarted\n")


def test_a_node_s_login_is_added_and_removed(host: BenchHost, node: Deployment) -> None:
    before = host.read("/etc/rancher/k3s/registries.yaml")
    password = (node.folder / "state/accounts/cluster.password").read_text().strip()
    node.set(registry_state_dir=f"{node.folder}/state", registry_node_login=True)
    ran = node.run("-y", "-vvv")
    assert "write /etc/rancher/k3s/registries.yaml: our entries are not as they should be" in ran.steps
    assert password not in ran.output
    assert password in host.read("/etc/rancher/k3s/registries.yaml")
    assert host.run("stat -c %a /etc/rancher/k3s/registries.yaml").stdout == "600\n"
    node.set(registry_state_dir=f"{node.folder}/state")
    node.run()
    assert host.read("/etc/rancher/k3s/registries.yaml") == before


def test_a_missing_runtime_is_reported_in_one_line(host: BenchHost, node: Deployment) -> None:
    node.set(registry_state_dir=f"{node.folder}/state", registry_runtime=["crio"])
    ran = node.run()
    node.set(registry_state_dir=f"{node.folder}/state")
    assert ran.exit_code != 0
    [problem] = ran.problems
    assert (
        "registry_runtime names CRI-O, which this host does not have (it has K3s and containerd)" in problem
    )


def test_containerd_reads_each_shape_of_its_configuration_as_we_do(host: BenchHost) -> None:
    """`containerd config dump` prints how containerd itself reads a file and all its imports."""

    def dumped() -> str:
        says = tomllib.loads(host.run("containerd -c /tmp/shape/config.toml config dump 2>/dev/null").stdout)
        plugin = says["plugins"].get(
            containerd_config.CRI_2 if says["version"] > 1 else containerd_config.CRI_1, {}
        )
        return str(plugin.get("registry", {}).get("config_path", ""))

    main, drop = "/tmp/shape/config.toml", "/tmp/shape/conf.d/x.toml"
    tried = 0
    for name, shape in SHAPES.items():
        if V1_6 not in shape.expected:
            continue
        host.run("rm -rf /tmp/shape")
        texts = {main: shape.main} | ({drop: shape.drop} if shape.drop is not None else {})
        texts = {path: text.replace("IMPORTS", "/tmp/shape/conf.d/*.toml") for path, text in texts.items()}
        for path, text in texts.items():
            host.write(path, text)
        found = containerd_config.in_force(containerd_config.load(main, texts, V1_6), V1_6)
        assert dumped() == found.value == shape.expected[V1_6][0], name
        if found.ours_to_set:
            host.write(
                found.file.path, toml_edit.put(found.file.text, found.keys, found.folder, found.file.path)
            )
            assert dumped() == found.folder, name
        tried += 1
    assert tried > 10


def test_a_separate_node_is_configured_after_the_registry_with_one_fact_per_role(
    host: BenchHost, node: Deployment
) -> None:
    """pyinfra orders operations by the hosts that execute them, and a separate node executes none of the registry's."""
    other = BenchHost.start(BOOKWORM_DOCKER, "node")
    try:
        registry, target = f"@docker/{host.name}", f"@docker/{other.name}"
        beside = Deployment(node.folder, f"registry = [{registry!r}]\ncluster_nodes = [{target!r}]\n")
        ran = beside.run()
        assert ran.exit_code == 0, ran.output
        assert [step.partition(":")[0] for step in ran.steps][-3:] == [
            f"write {CONFIG}",
            "restart containerd",
            "write /etc/hosts",
        ]
        ran = beside.run()
        assert (ran.exit_code, ran.steps) == (0, []), ran.output
        assert len([line for line in ran.commands if " host" in line]) == 2 * FACTS_PER_NODE
        both = f"registry = [{registry!r}]\ndocker_hosts = [{target!r}]\ncluster_nodes = [{target!r}]\n"
        beside = Deployment(node.folder, both)
        ran = beside.run()
        assert ran.exit_code == 0, ran.output
        assert not [step for step in ran.steps if step.startswith("write /etc/hosts")]
        planned = beside.plan()
        assert planned.steps == []
    finally:
        other.remove()
