"""A first run, killed (SIGKILL) after each of its commands in turn and in the middle of each upload."""

from __future__ import annotations

import shutil

import pytest

from tests.bench.hosts import BenchHost
from tests.fleet.conftest import deployment_on
from tests.fleet.deployment import Deployment, RunResult
from tests.fleet.on_disk import half_written, temporary_files

OURS = "/etc/homelab-registry /var/lib/homelab-registry /etc/docker/certs.d"


@pytest.fixture(scope="module")
def deployment(host: BenchHost, tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    return deployment_on(host, tmp_path_factory.mktemp("killed"))


@pytest.fixture(scope="module")
def uninterrupted(host: BenchHost, deployment: Deployment, request: pytest.FixtureRequest) -> RunResult:
    """A complete first run: its commands are the points at which later runs are killed."""
    if request.config.getoption("--soak"):  # in a sample the images exist, as at each of its points
        reset_host(host, deployment, images=True)
    ran = deployment.run()
    assert ran.exit_code == 0, ran.output
    return ran


def reset_host(host: BenchHost, deployment: Deployment, *, images: bool = False) -> None:
    """Remove everything that a run creates, and the images if asked, which costs six seconds."""
    host.run("docker ps -aq | xargs -r docker rm -f; docker network rm homelab-registry", check=False)
    host.run(
        f"rm -rf {OURS}; sed '/homelab-registry$/d' /etc/hosts > /tmp/h; cat /tmp/h > /etc/hosts; rm /tmp/h"
    )
    if images:
        host.run("docker images -q | xargs -r docker rmi -f")
    shutil.rmtree(deployment.store.folder, ignore_errors=True)


def kill_points(uninterrupted: RunResult, soak: bool) -> list[tuple[int, int]]:
    """Return (kill after, kill within) for all commands, or a sample of them that is spread over the whole run."""
    after = [(number, 0) for number in range(1, len(uninterrupted.commands) + 1)]
    within = [(0, number) for number, command in enumerate(uninterrupted.commands, 1) if " host+ " in command]
    # Six files of the registry host, those of the web page, the login to ask its registry with, the CA, /etc/hosts.
    assert len(within) == 10, uninterrupted.commands
    return after + within if soak else [*after[6::18], *within[1::4]]


def test_a_killed_run_is_finished_by_the_next(
    host: BenchHost, deployment: Deployment, uninterrupted: RunResult, soak: bool
) -> None:
    for after, within in kill_points(uninterrupted, soak):
        where = f"killed after {after}" if after else f"killed within {within}"
        reset_host(host, deployment, images=soak)
        user_lines = host.read("/etc/hosts")
        killed = deployment.run(kill_after=after, kill_within=within)
        assert killed.exit_code == -9, f"{where}: {killed.output}"
        assert half_written(host) == [], where
        ran = deployment.run()
        assert ran.exit_code == 0, f"{where}: {ran.output}"
        assert temporary_files(host, deployment.store.folder) == [], where
        assert host.read("/etc/hosts").startswith(user_lines), where
        assert deployment.run().steps == [], where
        if soak:  # tests/chain verifies hosts whose first run was killed
            verified = deployment.verify()
            assert verified.returncode == 0, f"{where}: {verified.stdout}"
        print(where, "and finished")


@pytest.mark.usefixtures("uninterrupted")
def test_a_build_that_outlives_its_run_is_waited_for(host: BenchHost, deployment: Deployment) -> None:
    """Its host hears nothing of the kill; a second build beside it would remove the folder that it works in."""
    tag = host.run("docker inspect -f '{{.Config.Image}}' homelab-registry-gateway").stdout.strip()
    made = host.run(
        f"docker tag {tag} kept && docker rmi -f {tag} >&2; docker inspect -f '{{{{.Id}}}}' kept"
    ).stdout
    ends = f"until pgrep -xf 'flock -w 900 9'; do sleep 0.1; done; docker tag kept {tag} && docker rmi kept"
    host.run(f'nohup flock /run/homelab-registry.build sh -c "{ends}" >/dev/null 2>&1 &')
    ran = deployment.run()
    assert ran.exit_code == 0, ran.output
    assert ran.steps[0] == f"build the image {tag} from the package nginx-light: it is missing"
    assert host.run(f"docker inspect -f '{{{{.Id}}}}' {tag}").stdout == made
