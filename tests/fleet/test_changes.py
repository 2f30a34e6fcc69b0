"""Changes that a user makes in the settings or in `state/` take effect with the next run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.bench.hosts import BenchHost
from tests.fleet.deployment import Deployment

NAME = "registry.homelab.local"
SHOWN = "write shown/about.json of the web page: its content is not as it should be"
"""The step after a change of what the web page shows of the registry."""

ROLES_CHANGED = [
    "write /etc/homelab-registry/gateway/nginx.conf: its content is not as it should be",
    "write /etc/homelab-registry/registry/htpasswd: its content is not as it should be",
    "recreate the container homelab-registry-gateway: it was started in another way",
]
"""Steps after a change of roles: the gateway's configuration lists each account's role."""


def request_status(
    host: BenchHost, deployment: Deployment, account: str, password: str, path: str = "/v2/", *more: str
) -> str:
    """Send a request with curl, which trusts our CA and uses none of our code; return the status or the error."""
    config = f'user = "{account}:{password}"\n'
    done = subprocess.run(
        ["curl", "-sS", "-K", "-", "-o", "/dev/null", "-w", "%{http_code}", "--resolve", f"{NAME}:443:{host.address}",
         "--cacert", str(deployment.store.ca_bundle_path), *more, f"https://{NAME}{path}"],
        input=config, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def served_certificate(host: BenchHost) -> str:
    shown = subprocess.run(["openssl", "s_client", "-connect", f"{host.address}:443", "-servername", NAME],
                           input="", capture_output=True, text=True, check=False).stdout  # fmt: skip
    return subprocess.run(["openssl", "x509", "-noout", "-serial", "-ext", "subjectAltName"],
                          input=shown, capture_output=True, text=True, check=True).stdout  # fmt: skip


def start_times(host: BenchHost) -> str:
    """Return when each of the two containers was started."""
    return host.run(
        "docker inspect -f '{{.State.StartedAt}}' homelab-registry homelab-registry-gateway"
    ).stdout


def change_settings(deployment: Deployment, **more: object) -> None:
    deployment.set(registry_state_dir=str(deployment.store.folder), **more)


def run(deployment: Deployment) -> list[str]:
    ran = deployment.run()
    assert ran.exit_code == 0, ran.output
    return ran.steps


def test_accounts_are_added_and_removed_and_a_removed_one_is_refused(
    host: BenchHost, deployment: Deployment
) -> None:
    old = deployment.store.read().passwords["ci"]
    assert request_status(host, deployment, "ci", old) == "200"
    change_settings(deployment, registry_accounts={"admin": "admin", "cluster": "pull", "robot": "push"})
    hashes = f"write {deployment.store.folder}/htpasswd: robot is new or has a new password, ci is gone"
    assert run(deployment) == [
        f"remove {deployment.store.password_path('ci')}: the account is gone",
        "generate a password for robot: it has none yet",
        hashes,
        *ROLES_CHANGED,
    ]
    assert request_status(host, deployment, "ci", old) == "401"
    assert request_status(host, deployment, "robot", deployment.store.read().passwords["robot"]) == "200"
    change_settings(deployment)
    run(deployment)
    assert request_status(host, deployment, "ci", old) == "401"
    assert request_status(host, deployment, "ci", deployment.store.read().passwords["ci"]) == "200"


def test_a_custom_password_is_set_and_removed_without_a_restart(
    host: BenchHost, deployment: Deployment
) -> None:
    """An account's flag file for custom passwords stays as long as its present or former password is a custom one."""
    before, state = deployment.store.read(), deployment.store.folder
    running = start_times(host)
    conf = "/etc/homelab-registry"
    begun = [
        f"write {state}/former.json: the password of ci stays good until the new one is everywhere",
        f"write {state}/htpasswd: ci is new or has a new password",
        f"write {conf}/registry/htpasswd: its content is not as it should be",
    ]
    marked = f"write {conf}/gateway/two-passwords: it is missing"
    custom = f"{conf}/gateway/typed/ci"
    ended = [
        "log in as ci: the present password has to work before the former one is revoked",
        f"write {state}/former.json: the former password of ci is no longer needed",
        f"write {conf}/registry/htpasswd: former passwords are refused from now on",
        f"remove {conf}/gateway/two-passwords: no account has a former password",
        "wait for 3 seconds: for requests that passed the gateway before it looked there",
        f"write {conf}/registry/htpasswd: each account needs only one entry again",
    ]
    deployment.store.password_path("ci").write_text("correct horse battery\n")
    assert run(deployment) == [*begun, f"write {custom}: it is missing", marked, *ended]
    assert request_status(host, deployment, "ci", "correct horse battery") == "200"
    assert request_status(host, deployment, "ci", before.passwords["ci"]) == "401"
    after = deployment.store.read()
    assert after.hashes["ci"].startswith("$2b$12$")
    assert after.hashes["admin"] == before.hashes["admin"]
    deployment.store.password_path("ci").write_text(before.passwords["ci"])
    unmarked = f"remove {custom}: its account's password is a generated one"
    assert run(deployment) == [*begun, marked, *ended, unmarked]
    assert request_status(host, deployment, "ci", "correct horse battery") == "401"
    assert request_status(host, deployment, "ci", before.passwords["ci"]) == "200"
    assert start_times(host) == running


def test_a_storage_limit_is_set_raised_and_removed_without_a_restart(
    host: BenchHost, deployment: Deployment
) -> None:
    """A keeper that died leaves what it said last: the next run replaces it."""
    conf, keeper = "/etc/homelab-registry", "homelab-registry-keeper"
    running, password = start_times(host), deployment.store.read().passwords["ci"]
    upload = ("ci", password, "/v2/new/blobs/uploads/", "-X", "POST")
    host.run("head -c 2000000 /dev/zero > /var/lib/homelab-registry/.homelab-registry-fill")

    def limit(size: str | None, said: str = "") -> list[str]:
        change_settings(deployment, registry_storage_limit=size)
        ran = deployment.run()
        assert ran.exit_code == 0, ran.output
        assert (
            re.search(rf"^  Storage      {said}$", ran.output, re.MULTILINE)
            if said
            else "Storage" not in ran.output
        )
        return ran.steps

    written = f"write {conf}/keeper/keeper.sh: its content is not as it should be"
    assert limit(
        "1MB", r"2\.\d of 1 MB are used \(2\d\d %\): new uploads are refused; run make make-room .*"
    ) == [
        f"make {conf}/keeper: it is missing",
        f"make {conf}/gateway/limit: it is missing",
        f"write {conf}/keeper/keeper.sh: it is missing",
        SHOWN,
        f"create the container {keeper}: it does not exist",
    ]
    assert request_status(host, deployment, *upload) == "403"
    verified = deployment.verify("-k", "storage_is_below or bounds or can_write")
    assert re.search(
        r": storage: 2\.\d of 1 MB are used \(2\d\d %\): new uploads are refused; run make make-room .*\[test_storage_is_below",
        verified.stdout,
    )
    assert "1 failed, 6 passed" in verified.stdout
    host.run(f"docker kill {keeper}")
    assert request_status(host, deployment, *upload) == "403"
    assert limit("100MB", r"2\.\d of 100 MB are used \(2 %\)") == [
        written,
        SHOWN,
        f"recreate the container {keeper}: it was started in another way",
    ]
    assert request_status(host, deployment, *upload) == "202"
    (today,) = deployment.store.read_history()
    assert 2_000_000 < (today.used or 0) < 3_000_000
    assert limit(None) == [SHOWN, f"remove {keeper} and what it measured: registry_storage_limit is not set"]
    left = f"docker ps -aq --filter name=keeper; ls -d {conf}/keeper {conf}/gateway/limit 2>/dev/null"
    assert host.run(left, check=False).stdout == ""
    host.run("rm /var/lib/homelab-registry/.homelab-registry-fill")
    assert run(deployment) == []
    assert start_times(host) == running


def test_a_new_server_name_is_in_the_certificate_without_a_restart(
    host: BenchHost, deployment: Deployment
) -> None:
    running = start_times(host)
    old = served_certificate(host)
    change_settings(deployment, registry_extra_names=["images.homelab.local"])
    (leaf, shown, pem, proof, folder, ca, entry) = run(deployment)
    assert shown == SHOWN
    assert leaf == (
        f"make a certificate for {NAME}, images.homelab.local, {host.address}: "
        "its names have changed (added: images.homelab.local)"
    )
    assert pem.startswith("write /etc/homelab-registry/gateway/tls/current.pem: ")
    assert proof == "ask the gateway for its certificate: it has a new one"
    assert folder == "make /etc/docker/certs.d/images.homelab.local: it is missing"
    assert ca == "write /etc/docker/certs.d/images.homelab.local/ca.crt: it is missing"
    assert entry == "write /etc/hosts: our entry is not as it should be"
    assert "DNS:images.homelab.local" in served_certificate(host)
    assert served_certificate(host) != old
    assert start_times(host) == running
    assert run(deployment) == []


def test_an_address_that_no_host_has_is_no_success_and_taking_it_out_is_enough(
    host: BenchHost, deployment: Deployment
) -> None:
    wrong = "10.255.255.9"
    host.run(f"ip route add unreachable {wrong}")  # Docker learns at once what it would after half a minute
    change_settings(deployment, registry_address=wrong)
    ran = deployment.run()
    host.run(f"ip route del unreachable {wrong}")
    change_settings(deployment)
    again = deployment.run()
    assert (
        f"registry_address = {wrong} is no address of this host, which has {host.address}; correct"
        in ran.output
    )
    (problem,) = ran.problems
    assert f"Docker does not reach {NAME}: dial tcp {wrong}:443: connect: no route to host; " in problem
    assert problem.endswith(
        " does not have registry_address; take it out, or set it to the one that clients reach "
        f"({host.address}), and run again"
    )
    assert (ran.exit_code, ran.trusted_by("Docker"), again.exit_code) == (1, [], 0), again.output
    assert wrong not in served_certificate(host)


def test_a_vpn_changes_no_address_and_a_new_lease_is_named(host: BenchHost, deployment: Deployment) -> None:
    """A VPN takes the default route, as most do. Then the host has another address, and the first one no more."""
    old, route = host.address, host.run("ip route show default").stdout.strip()
    new = "10.9.8.7"
    host.run(
        "mkdir -p /dev/net; [ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200; ip tuntap add tun0 mode tun "
        f"&& ip address add {new}/24 dev tun0 && ip link set tun0 up && ip route replace default dev tun0"
    )
    assert host.run("ip -4 route get 192.0.2.1").stdout.startswith("192.0.2.1 dev tun0")
    assert run(deployment) == []
    prefix = host.run(f"ip -o -4 address show | sed -n 's/.* {old}/{old}/p' | cut -d ' ' -f 1").stdout.strip()
    host.run(
        f"ip link delete tun0; ip address add {new}/24 dev eth0 && ip address del {prefix} dev eth0 "
        f"&& ip route replace {route} onlink"
    )
    try:
        ran = deployment.run()
    finally:
        host.run(
            f"ip address add {prefix} dev eth0; ip address del {new}/24 dev eth0; ip route replace {route}"
        )
    assert ran.exit_code == 0, ran.output
    assert f"the registry's address is {new} now, no longer {old}: its certificate" in ran.output
    assert f"IP Address:{new}" in served_certificate(host)
    assert f"the registry's address is {old} now, no longer {new}: its certificate" in deployment.run().output
    assert run(deployment) == []


def test_an_image_of_older_packages_is_named_until_it_is_built_again(
    host: BenchHost, deployment: Deployment
) -> None:
    image = host.run("docker inspect -f '{{.Config.Image}}' homelab-registry-gateway").stdout.strip()
    host.run("apt-cache policy nginx | grep -q Candidate || apt-get update -q")
    older = f"FROM {image}\nLABEL homelab-registry.packages=libc6=2.36-9,nginx=1.22.1-1\n"
    host.run(f"docker tag {image} kept && docker build -q -t {image} -", stdin=older)
    ran = deployment.run()
    assert ran.steps == ["recreate the container homelab-registry-gateway: it runs another image"], ran.output
    (said,) = re.findall(r"\] the image (.*)", ran.output)
    pattern = f"{image} may be out of date: it was built on .*, and there is now libc6 .*, nginx .*; .* docker rmi -f {image}"
    assert re.match(pattern, said), said
    host.run(f"docker tag kept {image} && docker rmi kept")
    ran = deployment.run()
    assert ran.steps == ["recreate the container homelab-registry-gateway: it runs another image"], ran.output
    assert "may be out of date" not in ran.output


def test_a_server_name_that_the_ca_does_not_permit_stops_the_run(deployment: Deployment) -> None:
    change_settings(deployment, registry_extra_names=["registry.example.org"])
    ran = deployment.run()
    assert ran.exit_code == 1
    assert ran.steps == []
    assert (
        "registry.example.org: not permitted by the name constraints of the certificate authority"
        in ran.problems[0]
    )
    assert "makes a new certificate authority that permits it (a CA rollover)" in ran.problems[0]
    change_settings(deployment)
    run(deployment)


def test_a_certificate_that_expires_soon_is_renewed_automatically(
    host: BenchHost, deployment: Deployment
) -> None:
    change_settings(deployment, registry_leaf_days=397, registry_renew_before_days=396)
    assert run(deployment) == []  # a new one would not live longer yet
    change_settings(deployment, registry_leaf_days=500, registry_renew_before_days=499)
    old = served_certificate(host)
    made, shown, written, proof = run(deployment)
    assert shown == SHOWN
    assert proof == "ask the gateway for its certificate: it has a new one"
    assert made.startswith(f"make a certificate for {NAME}, {host.address}: it expires on ")
    assert written.startswith("write /etc/homelab-registry/gateway/tls/current.pem")
    assert served_certificate(host) != old


def test_images_survive_a_redeployment_and_deletes_can_be_switched_off(
    host: BenchHost, deployment: Deployment
) -> None:
    admin = deployment.store.read().passwords["admin"]
    host.run(f"docker login -u admin --password-stdin {NAME}", stdin=admin)
    host.run(
        f"echo kept > /tmp/kept && tar -c -C /tmp kept | docker import - {NAME}/kept:1 && docker push {NAME}/kept:1"
    )
    host.run(f"docker rmi {NAME}/kept:1; docker rm -f homelab-registry homelab-registry-gateway")
    host.run("rm -rf /etc/homelab-registry; docker network rm homelab-registry")
    change_settings(deployment, registry_delete_enabled=False)
    run(deployment)
    host.run(f"docker pull {NAME}/kept:1")
    digest = (
        host.run(f"docker inspect -f '{{{{index .RepoDigests 0}}}}' {NAME}/kept:1")
        .stdout.strip()
        .partition("@")[2]
    )
    delete = ("-X", "DELETE")
    assert request_status(host, deployment, "admin", admin, f"/v2/kept/manifests/{digest}", *delete) == "405"
    change_settings(deployment)
    run(deployment)
    assert request_status(host, deployment, "admin", admin, f"/v2/kept/manifests/{digest}", *delete) == "202"


def test_a_changed_port_is_served_and_trusted(host: BenchHost, deployment: Deployment) -> None:
    change_settings(deployment, registry_port=5443)
    steps = run(deployment)
    page = "write shown/about.json of the web page: its content is not as it should be"
    recreate = "recreate the container homelab-registry-gateway: it was started in another way"
    assert steps == [
        page,
        recreate,
        f"make /etc/docker/certs.d/{NAME}:5443: it is missing",
        f"write /etc/docker/certs.d/{NAME}:5443/ca.crt: it is missing",
    ]
    password = deployment.store.read().passwords["cluster"]
    login = host.run(f"docker login -u cluster --password-stdin {NAME}:5443", stdin=password)
    assert "Login Succeeded" in login.stdout
    change_settings(deployment)
    assert run(deployment) == [page, recreate]


CONNECT = """
import socket, ssl, sys
for address in sys.argv[1:]:
    try:
        with socket.create_connection((address, 443), 10) as connection:
            ssl._create_unverified_context().wrap_socket(connection, server_hostname="registry.homelab.local")
        print("TLS")
    except ConnectionRefusedError:
        print("refused")
"""


def listening(host: BenchHost) -> list[str]:
    """Return the addresses on which the registry's port is open."""
    return host.run("ss -Hltn 'sport = :443' | awk '{print $4}'").stdout.split()


def test_the_port_is_open_only_where_the_settings_say(host: BenchHost, deployment: Deployment) -> None:
    other, v6 = "10.9.8.7", "fd00:9::7"
    host.run(
        "mount -o remount,rw /proc/sys; for each in all lo; do echo 0 > /proc/sys/net/ipv6/conf/$each/disable_ipv6; done "
        f"&& ip address add {other}/24 dev eth0 && ip address add {v6}/128 dev lo "
        "&& systemctl restart docker"  # it finds out once whether there is IPv6 (libnetwork's IsV6Listenable)
    )
    host.wait_until("bash -c ': < /dev/tcp/127.0.0.1/443'", 60, "the registry")
    recreate = "recreate the container homelab-registry-gateway: its port is open on"
    ipv4, ipv6 = "all IPv4 addresses", "all addresses, of IPv6 too"

    def answers(*addresses: str) -> list[str]:
        """Return what the host itself gets from each address."""
        return host.run(f"python3 - {' '.join(addresses)}", stdin=CONNECT).stdout.split()

    everywhere = ("127.0.0.1", host.address, other, v6)
    assert listening(host) == ["0.0.0.0:443"]
    assert answers(*everywhere) == ["TLS", "TLS", "TLS", "refused"]
    change_settings(deployment, registry_listen_address=host.address)
    assert run(deployment) == [f"{recreate} {ipv4}, not on {host.address}"]
    assert listening(host) == [f"{host.address}:443"]
    assert answers(*everywhere) == ["refused", "TLS", "refused", "refused"]
    assert run(deployment) == []
    change_settings(deployment, registry_extra_names=[v6])
    assert f"{recreate} {host.address}, not on {ipv6}" in run(deployment)
    assert sorted(listening(host)) == ["0.0.0.0:443", "[::]:443"]
    assert answers(*everywhere) == ["TLS"] * 4
    change_settings(deployment)
    assert f"{recreate} {ipv6}, not on {ipv4}" in run(deployment)
    assert listening(host) == ["0.0.0.0:443"]
    host.run(f"ip address del {other}/24 dev eth0; ip address del {v6}/128 dev lo")


def test_a_user_s_conflicting_line_in_etc_hosts_is_quoted_and_kept(
    host: BenchHost, deployment: Deployment
) -> None:
    host.run(
        "sed '/homelab-registry$/d' /etc/hosts > /tmp/h; cat /tmp/h > /etc/hosts; echo '127.0.1.1 registry.homelab.local' >> /etc/hosts"
    )
    before = host.read("/etc/hosts")
    ran = deployment.run()
    assert ran.exit_code == 1
    assert "'127.0.1.1 registry.homelab.local'; take the name out of that line" in ran.problems[0]
    assert host.read("/etc/hosts") == before
    host.run("sed '/^127.0.1.1 registry/d' /etc/hosts > /tmp/h; cat /tmp/h > /etc/hosts")
    assert run(deployment) == ["write /etc/hosts: our entry is missing"]


def test_json_output_is_valid(deployment: Deployment) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pyinfra", "-y", "--json", str(deployment.inventory), "deploy.py"],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)
