"""Whatever is changed by hand, the next run fixes exactly that. tests/chain shows that it otherwise changes nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.bench.hosts import BenchHost
from tests.fleet.deployment import Deployment
from tests.fleet.leaf import path_on_host

CONF = "/etc/homelab-registry"
PROOF = "ask the gateway for its certificate: it has a new one"
LINK = f"{CONF}/gateway/tls/current.pem"
CA = "/etc/docker/certs.d/registry.homelab.local/ca.crt"
REGISTRY, GATEWAY = "homelab-registry", "homelab-registry-gateway"


def recreate_step(container: str, reason: str) -> str:
    verb = "create" if reason == "it does not exist" else "recreate"
    return f"{verb} the container {container}: {reason}"


def left_step(container: str) -> str:
    return f"remove what is left of replacing the container {container}: a run was killed"


# As earlier versions created it; the rest of what it needs does not matter for what is seen.
OPEN_ON_IPV6 = (
    f"image=$(docker inspect -f '{{{{.Image}}}}' {GATEWAY}) && docker rm -f {GATEWAY} && docker create --name {GATEWAY} "
    "--label homelab-registry.spec=0 --network homelab-registry -p 443:8443 $image x"
)

DRIFT = {
    "contents changed": (f"echo x >> {LINK} && echo 'evil:x' >> {CONF}/registry/htpasswd && echo '# x' >> {CA} && "
        "sed 's/^.*# homelab-registry$/192.168.9.9 registry.homelab.local # homelab-registry/' /etc/hosts > /tmp/h; cat /tmp/h > /etc/hosts",
        [f"write {CONF}/registry/htpasswd: its content is not as it should be", f"write {LINK}: its content is not as it should be",
         PROOF, f"write {CA}: its content is not as it should be", "write /etc/hosts: our entry is not as it should be"]),
    "files removed": (f"rm LEAF {CONF}/registry/htpasswd {CA} && "
        "sed '/homelab-registry$/d' /etc/hosts > /tmp/h; cat /tmp/h > /etc/hosts",
        [f"write {CONF}/registry/htpasswd: it is missing", f"write {LINK}: its content is not as it should be",
         PROOF, f"write {CA}: it is missing", "write /etc/hosts: our entry is missing"]),
    "modes": (f"chmod 0644 {LINK} && chmod 0640 {CONF}/gateway/nginx.conf && chmod 0604 {CONF}/registry/htpasswd && "
        f"chmod 0755 {CONF}/gateway && chmod 0777 /var/lib/homelab-registry && chmod 0600 {CA}",
        [f"set owner and mode of {CONF}/gateway: its mode is 0755, not 0700",
         "set owner and mode of /var/lib/homelab-registry: its mode is 0777, not 0700",
         f"set owner and mode of {CONF}/gateway/nginx.conf: its mode is 0640, not 0600",
         f"set owner and mode of {CONF}/registry/htpasswd: its mode is 0604, not 0600",
         "set owner and mode of LEAF: its mode is 0644, not 0600",
         f"set owner and mode of {CA}: its mode is 0600, not 0644"]),
    "owners": (f"chown 0:0 {LINK} {CONF}/registry/config.yml {CONF}/run",
        [f"set owner and mode of {CONF}/run: it belongs to 0:0, not 60706:60706",
         f"set owner and mode of {CONF}/registry/config.yml: it belongs to 0:0, not 60706:60706",
         "set owner and mode of LEAF: it belongs to 0:0, not 60706:60706"]),
    "half-written files": (f"cd {CONF} && echo half > gateway/tls/.0123456789abcdef.pem.homelab-new && "
        "ln -s x gateway/tls/.current.pem.homelab-new && echo half > registry/.htpasswd.homelab-new",
        [f"remove {CONF}/{each}.homelab-new: a run was killed while writing it"
         for each in ("gateway/tls/.current.pem", "registry/.htpasswd", "gateway/tls/.0123456789abcdef.pem")]),
    "link to the certificate removed": (f"rm {LINK}", [f"write {LINK}: it is missing", PROOF]),
    "link to another certificate": (f"cp LEAF {LINK}.x && chown 60706:60706 {LINK}.x && ln -sf current.pem.x {LINK}",
        [f"write {LINK}: it names current.pem.x", PROOF]),
    "link replaced by a file": (f"cp LEAF {LINK}.x && rm {LINK} && mv {LINK}.x {LINK}",
        [f"write {LINK}: it is a regular file", PROOF]),
    "gateway configuration changed": (f"echo '#' >> {CONF}/gateway/nginx.conf",
        [f"write {CONF}/gateway/nginx.conf: its content is not as it should be",
         recreate_step(GATEWAY, "its configuration changes")]),
    "registry configuration removed": (f"rm {CONF}/registry/config.yml",
        [f"write {CONF}/registry/config.yml: it is missing", recreate_step(REGISTRY, "its configuration changes")]),
    "folder replaced": (f"cp -a {CONF}/registry {CONF}/r && rm -rf {CONF}/registry && mv {CONF}/r {CONF}/registry",
        [recreate_step(REGISTRY, f"it does not see the folder {CONF}/registry that is there now")]),
    "registry stopped": (f"docker stop {REGISTRY}", [recreate_step(REGISTRY, "it is exited")]),
    "registry killed and removed": (f"docker rm -f {REGISTRY}", [recreate_step(REGISTRY, "it does not exist")]),
    "registry updated": (f"docker update --memory 512m --memory-swap 1g {REGISTRY}",
        []),
    "gateway open on IPv6 too": (OPEN_ON_IPV6,
        [recreate_step(GATEWAY, "its port is open on all addresses, of IPv6 too, not on all IPv4 addresses")]),
    "registry paused": (f"docker pause {REGISTRY}", [recreate_step(REGISTRY, "it is paused")]),
    "registry connected elsewhere": (f"docker network disconnect none {REGISTRY} && docker network connect bridge {REGISTRY}",
        [recreate_step(REGISTRY, "it is not connected to the network none alone")]),
    "link removed": (f"rm {CONF}/run/registry.sock",
        [recreate_step(REGISTRY, "the gateway's link does not lead to its socket")]),
    "killed before the registry's names were changed": (f"docker rename {REGISTRY} {REGISTRY}-next", [left_step(REGISTRY)]),
    "killed before the former ones were removed":
        (f"for name in {REGISTRY} {GATEWAY}; do docker create --name $name-former --label homelab-registry.spec=0 "
         f"$(docker inspect -f '{{{{.Image}}}}' $name) sh; done", [left_step(REGISTRY), left_step(GATEWAY)]),
    "killed before the gateway's names were changed": (f"docker rename {GATEWAY} {GATEWAY}-next", [left_step(GATEWAY)]),
    "gateway stopped": (f"docker stop {GATEWAY}", [recreate_step(GATEWAY, "it is exited")]),
    "gateway removed": (f"docker rm -f {GATEWAY}", [recreate_step(GATEWAY, "it does not exist")]),
    "gateway restart policy": (f"docker update --restart no {GATEWAY}",
        [recreate_step(GATEWAY, 'its RestartPolicy was changed to {"Name": "no", "MaximumRetryCount": 0}')]),
    "gateway disconnected": (f"docker network disconnect homelab-registry {GATEWAY}",
        [recreate_step(GATEWAY, "it is not connected to the network homelab-registry alone")]),
    "gateway connected to a second network": (f"docker network connect bridge {GATEWAY}",
        [recreate_step(GATEWAY, "it is not connected to the network homelab-registry alone")]),
}  # fmt: skip


def untouched_start_times(host: BenchHost, touched: list[str]) -> dict[str, str]:
    """Return when each container that the steps do not recreate was started, whatever its name is."""
    return {
        name: host.run(
            f"docker ps -q --filter name='^/{name}(-next)?$' | xargs -r docker inspect -f '{{{{.State.StartedAt}}}}'"
        ).stdout
        for name in (REGISTRY, GATEWAY)
        if not any(f"create the container {name}:" in step for step in touched)
    }


def container_names(host: BenchHost) -> list[str]:
    return sorted(host.run("docker ps -a --format '{{.Names}}'").stdout.split())


@pytest.mark.parametrize("name", DRIFT)
def test_drift_is_fixed_exactly(host: BenchHost, deployment: Deployment, name: str) -> None:
    leaf = path_on_host(deployment)
    command, expected = (
        DRIFT[name][0].replace("LEAF", leaf),
        [each.replace("LEAF", leaf) for each in DRIFT[name][1]],
    )
    user_lines = host.run("grep -v 'homelab-registry$' /etc/hosts").stdout
    host.run(command)
    before = untouched_start_times(host, expected)
    planned = deployment.plan()
    ran = deployment.run()
    assert (planned.exit_code, ran.exit_code) == (0, 0), planned.output + ran.output
    assert ran.steps == expected
    assert planned.steps == expected
    assert untouched_start_times(host, expected) == before
    assert container_names(host) == [REGISTRY, GATEWAY]
    # The plan of the next case shows that nothing is left to do.
    assert host.run("grep -v 'homelab-registry$' /etc/hosts").stdout == user_lines


def test_afterwards_nothing_is_left_to_do(deployment: Deployment) -> None:
    assert deployment.run().steps == []


def test_the_owner_s_limit_has_outlived_the_containers_that_came_after(host: BenchHost) -> None:
    """The case "registry updated" set it; later cases recreated the registry."""
    limits = host.run(
        f"docker inspect -f '{{{{.HostConfig.Memory}}}} {{{{.HostConfig.MemorySwap}}}}' {REGISTRY} {GATEWAY}"
    )
    ours = str(2**30)
    assert [line.split()[0] for line in limits.stdout.splitlines()] == ["536870912", ours]


def test_the_port_is_open_on_ipv4_alone(host: BenchHost) -> None:
    """Over IPv6 the gateway would not see the clients' own addresses."""
    listening = host.run("ss -Hltn 'sport = :443'").stdout.split()
    assert "0.0.0.0:443" in listening
    assert not any(each.startswith(("[::]", "*:443")) for each in listening)


CHANGE = "docker update --restart no"
"""Makes the next run recreate a container, for this reason:"""
RESTARTS = 'its RestartPolicy was changed to {"Name": "no", "MaximumRetryCount": 0}'

FAILING_RUNC = """#!/bin/sh
case " $* " in (*" create "*)
    left=$(($(cat /tmp/starts) - 1))
    echo $left > /tmp/starts
    [ $left -ne 0 ] || { echo "no container starts" >&2; exit 1; } ;;
esac
exec /usr/sbin/runc "$@"
"""
"""A runtime that does not start one of the next containers, as after an upgrade of the host (moby#51405)."""


@pytest.mark.parametrize(
    ("name", "failing"),
    [(REGISTRY, 1), (GATEWAY, 1), (GATEWAY, 2)],
    ids=["registry", "gateway", "gateway with the port"],
)
def test_a_container_that_works_is_kept_if_no_other_can_start(
    host: BenchHost, deployment: Deployment, name: str, failing: int
) -> None:
    """The first new gateway is tried without the port. The old one is started again if the second does not start."""
    host.run(f"{CHANGE} {name}")
    form = "docker inspect -f '{{.Id}} {{.State.Status}} {{.State.StartedAt}}'"
    before = host.run(f"{form} {REGISTRY} {GATEWAY}").stdout.split()
    host.write("/tmp/starts", f"{failing}\n")
    host.write("/usr/local/sbin/runc", FAILING_RUNC, "0755")
    try:
        ran = deployment.run()
    finally:
        host.run("rm /usr/local/sbin/runc")
    assert ran.exit_code == 1, ran.output
    (problem,) = ran.problems
    assert f"could not recreate the container {name}: Error response from daemon: " in problem
    assert "(the one before goes on serving)" in problem
    after = host.run(f"{form} {REGISTRY} {GATEWAY}").stdout.split()
    assert [line for line in after if line not in before] == after[5:][: failing - 1]  # started again
    assert after[1::3] == ["running", "running"]
    assert container_names(host) == [REGISTRY, GATEWAY]
    assert "401" in answer_at_the_port(host)
    assert deployment.run().steps == [recreate_step(name, RESTARTS)]


KILL = r"""
end=$(($(date +%s) + 60))
until pgrep -f 'spare=[$]name-next' >/dev/null; do [ $(date +%s) -lt $end ] || exit 1; sleep 0.05; done
sleep {}
until kill -9 $(pgrep -f 'spare=[$]name-next') 2>/dev/null; do
    [ "$(docker inspect -f '{{{{.HostConfig.RestartPolicy.Name}}}}' homelab-registry-gateway)" = no ] || exit 0; sleep 0.05
done
echo killed
"""
"""Kills a script that replaces a container, so many seconds after the first began; none if the last has ended."""


def test_a_replacement_that_is_killed_is_finished_by_the_next_run(
    host: BenchHost, deployment: Deployment, soak: bool
) -> None:
    for seconds in (0.2, 0.5, 0.8, 1.1, 1.4, 1.7, 2, 2.5, 3, 3.5, 4, 5) if soak else (1,):
        host.run(f"{CHANGE} {REGISTRY} {GATEWAY}")
        with ThreadPoolExecutor(1) as pool:
            ran = pool.submit(deployment.run)
            killed = host.run("sh -s", stdin=KILL.format(seconds)).stdout == "killed\n"
            assert killed or seconds > 1
            assert ran.result().exit_code == killed, ran.result().output
        ran_again = deployment.run()
        assert ran_again.exit_code == 0, f"killed after {seconds} s: {ran_again.output}"
        assert container_names(host) == [REGISTRY, GATEWAY], seconds
        assert "401" in answer_at_the_port(host), seconds
        assert deployment.run().steps == [], seconds


BROKEN = r"""
docker create --name broken $(docker inspect -f '{{.Image}}' homelab-registry) x && printf '#!/bin/sh\necho out of luck; exit 1\n' > /tmp/registry
chmod 755 /tmp/registry && docker cp /tmp/registry broken:/bin/registry && docker commit broken broken && docker rm broken
"""


def test_a_container_that_does_not_get_healthy_is_removed_and_its_last_words_are_told(
    host: BenchHost, deployment: Deployment
) -> None:
    before = untouched_start_times(host, [])
    image = host.run(f"docker inspect -f '{{{{.Config.Image}}}}' {REGISTRY}").stdout.strip()
    host.run(f"{BROKEN}docker tag {image} whole && docker tag broken {image}")
    ran = deployment.run()
    host.run(f"docker tag whole {image} && docker rmi whole broken")
    assert ran.problems == [
        f"[@docker/{host.name}] could not recreate the container {REGISTRY}: {REGISTRY} does not get healthy: "
        "out of luck (the one before goes on serving); fix that and run again"
    ]
    assert (untouched_start_times(host, []), container_names(host)) == (before, [REGISTRY, GATEWAY])
    assert deployment.run().steps == []


def answer_at_the_port(host: BenchHost) -> str:
    """Return the first line of the answer to an unauthenticated request."""
    request = r"printf 'GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'"
    return host.run(
        f"{request} | openssl s_client -quiet -connect 127.0.0.1:443 2>/dev/null | head -n 1"
    ).stdout


def test_a_port_that_a_nat_rule_leads_elsewhere_is_told_and_nothing_is_restarted(
    host: BenchHost, deployment: Deployment
) -> None:
    """As K3s' ServiceLB does it: no listener shows, and another server answers (k3s#2403)."""
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=TRAEFIK DEFAULT CERT' -days 9"
    host.run(f"{make} -keyout /tmp/other.key -out /tmp/other.pem 2>&1")
    host.run(
        "nohup openssl s_server -www -accept 9443 -cert /tmp/other.pem -key /tmp/other.key </dev/null >/dev/null 2>&1 &"
        " echo $! > /tmp/other.pid"
    )
    host.wait_until("ss -Htln 'sport = :9443' | grep -q .", 20, "the other server")
    shown = host.run("openssl x509 -in /tmp/other.pem -noout -fingerprint -sha256").stdout
    rule = "OUTPUT -p tcp -m tcp --dport 443 -j REDIRECT --to-ports 9443"
    before = untouched_start_times(host, [])
    host.run(f"iptables -t nat -I {rule}")
    try:
        for _ in range(2):
            ran = deployment.run()
            assert (ran.exit_code, ran.steps) == (1, []), ran.output
            (problem,) = ran.problems
            assert (
                "port 443 leads to another server, with the certificate of CN=TRAEFIK DEFAULT CERT by "
                f"CN=TRAEFIK DEFAULT CERT (SHA-256 {shown.strip().partition('=')[2]}); the rule '-A {rule}' takes it; "
            ) in problem
    finally:
        host.run(f"iptables -t nat -D {rule}; kill $(cat /tmp/other.pid)")
    assert untouched_start_times(host, []) == before
    assert deployment.run().steps == []


ROOT_S_CONFIG = """{
    "proxies": {"default": {"httpProxy": "http://127.0.0.1:9", "httpsProxy": "http://127.0.0.1:9"}},
    "HttpHeaders": {"X-Broken": "\\n"}, "currentContext": "gone", "credsStore": "hangs", "detachKeys": "no-keys"
}
"""


def test_what_root_s_docker_client_is_configured_to_do_does_not_matter(
    host: BenchHost, deployment: Deployment
) -> None:
    host.write("/root/.docker/config.json", ROOT_S_CONFIG)
    host.write("/usr/local/bin/docker-credential-hangs", "#!/bin/sh\nsleep 600\n", "0755")
    host.run(f"{CHANGE.replace('docker', 'docker --config /nowhere')} {REGISTRY} {GATEWAY}")
    try:
        ran = deployment.run()
        assert ran.exit_code == 0, ran.output
        assert ran.steps == [recreate_step(name, RESTARTS) for name in (REGISTRY, GATEWAY)]
        form = "{{.Config.Env}}"
        environments = host.run(f"docker --config /nowhere inspect -f '{form}' {REGISTRY} {GATEWAY}").stdout
        assert "proxy" not in environments.lower()
        verified = deployment.verify("-k", "test_containers")
        assert verified.returncode == 0, verified.stdout
    finally:
        host.run("rm /root/.docker/config.json /usr/local/bin/docker-credential-hangs")
