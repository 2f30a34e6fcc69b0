"""A new certificate on request: it is checked, and a killed rotation is finished. tests/chain shows that nothing restarts."""

from __future__ import annotations

import datetime as dt
import re
import shutil

import pytest

from tasks.certificates import ca as authority
from tests.bench.hosts import BenchHost
from tests.fleet.deployment import Deployment
from tests.fleet.leaf import fingerprint_in_state, served_fingerprint
from tests.gateway.gateway import NAME

ROTATE = "deploys/rotate_certificate.py"
TLS = "/etc/homelab-registry/gateway/tls/current.pem"
NOT_SERVED = (
    "could not ask the gateway for its certificate: port 443 still serves another one; "
    "see why (docker logs homelab-registry-gateway) and run again"
)


def test_a_certificate_that_is_not_served_fails_the_run(host: BenchHost, deployment: Deployment) -> None:
    """A fake openssl on the host shows the previous certificate, since nginx itself cannot be made to keep it."""
    host.run(
        f"openssl s_client -connect 127.0.0.1:443 -servername {NAME} -showcerts </dev/null 2>/dev/null > /root/before"
    )
    host.write("/usr/local/bin/openssl", "#!/bin/sh\ncat /root/before\n", "0755")
    try:
        ran = deployment.run(deploy=ROTATE)
    finally:
        host.run("rm /usr/local/bin/openssl")
    assert ran.exit_code == 1
    assert [line.partition("] ")[2] for line in ran.problems] == [NOT_SERVED]
    assert deployment.run().exit_code == 0
    assert served_fingerprint(host, deployment) == fingerprint_in_state(deployment)


def test_without_openssl_the_run_says_that_the_certificate_was_not_checked(
    host: BenchHost, deployment: Deployment
) -> None:
    host.run("mv /usr/bin/openssl /usr/bin/openssl.away")
    try:
        ran = deployment.run(deploy=ROTATE)
    finally:
        host.run("mv /usr/bin/openssl.away /usr/bin/openssl")
    assert ran.exit_code == 0, ran.output
    assert (
        "the certificate that is served was not checked: install openssl there to have it checked"
        in ran.output
    )
    assert served_fingerprint(host, deployment) == fingerprint_in_state(deployment)


def test_a_certificate_that_expired_while_hosts_were_off_is_renewed_by_one_run(
    host: BenchHost, deployment: Deployment
) -> None:
    ca, present = deployment.store.read().authority, deployment.store.read().leaf
    assert ca
    assert present
    long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(days=365)
    names = authority.subject_alt_names(present.certificate)
    dead = authority.make_leaf(ca, names, 30, long_ago)
    deployment.store.write_leaf(dead)
    host.run(
        f"cat > {TLS}.new && chown --reference={TLS} {TLS}.new && mv {TLS}.new {TLS}",
        stdin=dead.certificate_pem + dead.key_pem,
    )
    ran = deployment.run()
    assert ran.exit_code == 0, ran.output
    assert f": it expired on {dead.certificate.not_valid_after_utc:%Y-%m-%d}" in ran.steps[0]
    assert served_fingerprint(host, deployment) == fingerprint_in_state(deployment)
    assert deployment.run().steps == []


def test_what_was_made_while_the_clock_was_ahead_is_repaired(host: BenchHost, deployment: Deployment) -> None:
    """CA and leaf are from a clock 200 days ahead, which is right now: no client accepts either."""
    store, now = deployment.store, dt.datetime.now(dt.UTC)
    leaf = store.read().leaf
    assert leaf
    names = authority.subject_alt_names(leaf.certificate)
    ahead = now + dt.timedelta(days=200)
    future = authority.make_authority(names, 3650, ahead)
    shutil.rmtree(store.authorities.folder)
    store.authorities.write(future)
    store.write_ca_bundle(future.certificate_pem)
    store.write_leaf(authority.make_leaf(future, names, 397, ahead))
    host.run("rm -r /etc/homelab-registry/gateway/tls/*")
    stopped = deployment.run()
    (problem,) = stopped.problems
    assert f"is from {ahead:%Y-%m-%d %H:%M} UTC; set the clock (timedatectl set-ntp true)" in problem
    assert stopped.steps == []
    today = ("-y", "--data", f"registry_today={now:%Y-%m-%d}")
    assert "run make rotate-ca" in deployment.run(*today).problems[0]
    ran = deployment.run(*today, deploy="deploys/rotate_ca.py")
    assert ran.exit_code == 0, ran.output
    state = store.read()
    assert state.authority
    assert state.authority.fingerprint != future.fingerprint
    assert served_fingerprint(host, deployment) == fingerprint_in_state(deployment)
    asked = host.run(f"docker pull -q {NAME}/no-such-image", check=False)
    assert re.search("unauthorized|no basic auth|not found", asked.stderr), asked.stderr
    assert deployment.run().steps == []


@pytest.mark.parametrize("clock", ["+10m", "-10m"])
def test_clocks_ten_minutes_apart_do_no_harm(host: BenchHost, deployment: Deployment, clock: str) -> None:
    """A new CA, and a leaf issued at the same moment, are valid by the clocks of the host and of the controller."""
    for deploy in ("deploys/rotate_ca.py", "deploys/retire_ca.py", ROTATE):
        ran = deployment.run(deploy=deploy, clock=clock)
        assert ran.exit_code == 0, ran.output
        assert served_fingerprint(host, deployment) == fingerprint_in_state(deployment)
        asked = host.run(f"docker pull -q {NAME}/no-such-image", check=False)
        assert re.search("unauthorized|no basic auth|not found", asked.stderr), asked.stderr
    assert deployment.run().steps == []


def test_the_registry_answers_after_a_killed_rotation_and_the_next_run_finishes_it(
    host: BenchHost, deployment: Deployment, soak: bool
) -> None:
    whole = deployment.run(deploy=ROTATE)
    assert whole.exit_code == 0, whole.output
    count = len(whole.commands)
    for point in range(1, count) if soak else (count // 2, count - 1):
        before = served_fingerprint(host, deployment)
        killed = deployment.run(deploy=ROTATE, kill_after=point)
        assert killed.exit_code == -9, f"killed after {point}: {killed.output}"
        assert served_fingerprint(host, deployment) in {before, fingerprint_in_state(deployment)}
        ran = deployment.run()
        assert ran.exit_code == 0, f"killed after {point}: {ran.output}"
        assert served_fingerprint(host, deployment) == fingerprint_in_state(deployment)
        assert deployment.run().steps == []
        print(f"killed after {point} of {count} and finished")
