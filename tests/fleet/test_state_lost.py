"""The state is removed, swapped or damaged: the run stops and changes nothing, and the remedy that it names works."""

from __future__ import annotations

import datetime as dt
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.certificates import ca
from tests import pages
from tests.bench.hosts import BenchHost
from tests.fleet.conftest import deployment_on
from tests.fleet.deployment import Deployment, RunResult
from tests.fleet.test_changes import request_status
from tests.unit.state.test_store import fill


@pytest.fixture
def state(deployment: Deployment, tmp_path: Path) -> Iterator[Path]:
    """The state's folder. Afterwards it is restored from a copy, and adopts the registry again."""
    folder = deployment.store.folder
    shutil.copytree(folder, tmp_path / "backup")
    yield folder
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "backup", folder)
    assert deployment.run(deploy="deploys/adopt.py").exit_code == 0


def snapshot(host: BenchHost) -> str:
    """Return everything that a run could change on the host: files by digest, containers by ID and state."""
    return host.run(
        "find /etc /var/lib/homelab-registry -type f -exec sha256sum {} + | sort;"
        "find /etc/homelab-registry /etc/docker /var/lib/homelab-registry -printf '%p %m %U %G\\n' | sort;"
        "docker ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.State}}'; docker network ls -q; docker images -q"
    ).stdout


def file_contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def assert_run_stops(host: BenchHost, deployment: Deployment) -> RunResult:
    """Run, and check that it stops with one problem and changes neither the host nor the state."""
    before, kept = snapshot(host), file_contents(deployment.store.folder)
    ran = deployment.run()
    assert ran.exit_code == 1, ran.output
    assert "Traceback" not in ran.output
    assert len(ran.problems) == 1, ran.output
    assert ran.steps == []
    assert snapshot(host) == before
    assert file_contents(deployment.store.folder) == kept
    return ran


def assert_run_succeeds(deployment: Deployment) -> RunResult:
    ran = deployment.run()
    assert ran.exit_code == 0, ran.output
    return ran


def test_state_removed(host: BenchHost, deployment: Deployment, state: Path, tmp_path: Path) -> None:
    shutil.rmtree(state)
    ran = assert_run_stops(host, deployment)
    message = (
        f"this host has a registry certificate that {state} knows nothing of; put the right {state} back"
    )
    assert message in ran.problems[0]
    planned = deployment.plan()
    assert (planned.exit_code, planned.problems) == (1, ran.problems)
    shutil.copytree(tmp_path / "backup", state, dirs_exist_ok=True)
    assert assert_run_succeeds(deployment).steps == []


def test_state_removed_and_the_registry_adopted(host: BenchHost, deployment: Deployment, state: Path) -> None:
    old = (state / "ca.crt").read_text()
    host.run("echo kept > /var/lib/homelab-registry/an-image")
    damaged = pages.line("docs/by-task.md", "mv state/yours state/yours.damaged")
    subprocess.run(["sh", "-c", damaged.replace("state/yours", str(state))], check=True)
    assert_run_stops(host, deployment)
    ran = deployment.run(deploy="deploys/adopt.py")
    assert ran.exit_code == 0, ran.output
    assert (state / "ca.crt").read_text() != old
    assert host.read("/var/lib/homelab-registry/an-image") == "kept\n"
    assert assert_run_succeeds(deployment).steps == []
    assert deployment.verify("-k", "test_tls or test_contract or passwords").returncode == 0
    host.run("rm /var/lib/homelab-registry/an-image")


def test_state_swapped_for_another(
    host: BenchHost, deployment: Deployment, state: Path, tmp_path: Path
) -> None:
    shutil.rmtree(state)
    other = deployment_on(host, tmp_path)
    fill(other.store, registry_host=f"@docker/{host.name}")
    shutil.copytree(other.store.folder, state)
    ran = assert_run_stops(host, deployment)
    assert (
        f"this host has a registry certificate that {state} did not make; put the right {state} back"
        in ran.output
    )
    shutil.rmtree(state)
    shutil.copytree(tmp_path / "backup", state)
    assert assert_run_succeeds(deployment).steps == []


def test_state_of_a_registry_on_another_host(host: BenchHost, deployment: Deployment, state: Path) -> None:
    """The images were moved here with an earlier certificate. Adopting keeps the CA: no client needs a new one."""
    before = deployment.store.read()
    assert before.authority
    deployment.store.write_leaf(
        ca.make_leaf(before.authority, ["old.homelab.local"], 397, dt.datetime.now(dt.UTC))
    )
    deployment.store.write_record("nas", before.images, before.storage)
    ran = assert_run_stops(host, deployment)
    here = f"@docker/{host.name}"
    assert ran.problems == [
        f"[{here}] {state} is the state of the registry on nas, and this host does not have its certificate; if the "
        f"registry moves to {here}, copy its images there and run make adopt INVENTORY={deployment.inventory}, which "
        'keeps CA and passwords (see docs/by-task.md, "The registry on another machine"); if not, '
        f"correct the group registry in {deployment.inventory}"
    ]
    adopted = deployment.run(deploy="deploys/adopt.py")
    assert adopted.exit_code == 0, adopted.output
    assert f"[{here}] CA and passwords of {state} stay: what trusts them goes on to do so" in adopted.output
    after = deployment.store.read()
    assert after.authority
    assert (after.authority.fingerprint, after.passwords) == (before.authority.fingerprint, before.passwords)
    assert [step for step in adopted.steps if "ca.crt" in step] == []
    assert assert_run_succeeds(deployment).steps == []


def test_an_inventory_that_takes_the_place_of_another(
    host: BenchHost, deployment: Deployment, state: Path, tmp_path: Path
) -> None:
    """As when a registry on this machine alone becomes one of a homelab: the host has another name there."""
    short = f"@docker/{host.container.short_id}"
    yours = Deployment(
        tmp_path,
        f"registry = [{short!r}]\ndocker_hosts = [{short!r}]\n",
        registry_state_dir=f"{deployment.folder}/yours",
    )
    names = {deployment: f"@docker/{host.name}", yours: short}
    for here, its, there, former in (
        (yours, "yours", "state", deployment),
        (deployment, "state", "yours", yours),
    ):
        ran = assert_run_stops(host, here)
        move = f"mv -T {deployment.folder}/{there} {deployment.folder}/{its}"
        assert ran.problems == [
            f"[{names[here]}] this host has a registry certificate that {deployment.folder}/{there} made, and not "
            f"{deployment.folder}/{its}; {move}, and run again"
        ]
        subprocess.run(shlex.split(move), check=True)
        before = snapshot(host)
        assert assert_run_succeeds(here).steps == [
            f"note {names[here]} as the registry host: {deployment.folder}/{its} has {names[former]}"
        ]
        assert snapshot(host) == before


def test_an_older_copy_of_the_state_brings_no_revoked_password_back(
    host: BenchHost, deployment: Deployment, state: Path, tmp_path: Path
) -> None:
    """A second controller with its timer, or a backup that was put back."""
    assert deployment.run(deploy="deploys/rotate_credentials.py").exit_code == 0
    newest = deployment.store.read()
    shutil.rmtree(state)
    shutil.copytree(tmp_path / "backup", state)
    ran = assert_run_stops(host, deployment)
    assert f"{state} is an older copy: the registry's passwords are of change number" in ran.problems[0]
    assert "run make adopt" in ran.problems[0]
    older = deployment.store.read()
    ran = deployment.run(deploy="deploys/adopt.py")
    assert ran.exit_code == 0, ran.output
    adopted = deployment.store.read()
    assert adopted.former == {}
    for name, password in adopted.passwords.items():
        assert request_status(host, deployment, name, password) == "200"
        assert password not in {older.passwords[name], newest.passwords[name]}
        assert request_status(host, deployment, name, older.passwords[name]) == "401"
    assert assert_run_succeeds(deployment).steps == []


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("leaf.pem", "remove"),
        ("htpasswd", "remove"),
        ("http.secret", "remove"),
        ("record.json", "remove"),
        ("ca.crt", "remove"),
        ("accounts/admin.password", "type"),
        ("authorities/*/ca.crt", "restore"),
        ("authorities/*/ca.key", "restore"),
    ],
)
def test_a_truncated_file(host: BenchHost, deployment: Deployment, name: str, remedy: str) -> None:
    (path,) = deployment.store.folder.glob(name)
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    ran = assert_run_stops(host, deployment)
    assert str(path if remedy != "restore" else path.parent) in ran.problems[0]
    match remedy:
        case "remove":
            assert "remove it" in ran.problems[0]
            path.unlink()
        case "type":
            assert "write a new password of your own into it" in ran.problems[0]
            path.write_text("a password of my own\n")
        case "restore":
            assert "put it back from your backup" in ran.problems[0]
            path.write_text(text)
    assert_run_succeeds(deployment)
    assert assert_run_succeeds(deployment).steps == []
