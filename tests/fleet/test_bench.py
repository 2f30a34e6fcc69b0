"""The bench itself, on which the other tests depend."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import docker
import pytest
from docker.errors import NotFound

from tests.bench import leftovers, network, programs, recipes
from tests.bench.hosts import BenchHost, remove_leftovers
from tests.bench.programs import CRANE
from tests.bench.recipes import BOOKWORM, BOOKWORM_DOCKER, Recipe, image
from tests.bench.sources import sources
from tests.bench.ssh import allow_key, host_data, make_key

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def client() -> docker.DockerClient:
    return docker.from_env()


@pytest.fixture(scope="module")
def minimal() -> Iterator[BenchHost]:
    host = BenchHost.start(BOOKWORM, "minimal")
    yield host
    host.remove()


def test_the_minimal_host_boots_and_has_nothing_that_the_project_must_install(minimal: BenchHost) -> None:
    assert minimal.run("cat /proc/1/comm").stdout == "systemd\n"
    assert minimal.run("systemctl is-active ssh").stdout == "active\n"
    assert minimal.run("hostname").stdout.strip() == minimal.name
    for program in ("docker", "curl", "sudo", "git"):
        assert minimal.run(f"command -v {program}", check=False).exit_code != 0, program
    assert minimal.run("python3 -c 'import ensurepip'", check=False).exit_code != 0


def test_the_minimal_host_reaches_debian_packages_and_security_updates(minimal: BenchHost) -> None:
    minimal.run("apt-get update -q", environment=BenchHost.package_environment(), timeout=120)
    policy = minimal.run("apt-cache policy").stdout
    assert "n=bookworm," in policy
    assert "n=bookworm-security," in policy


def test_commands_get_input_and_environment_and_return_their_output(minimal: BenchHost) -> None:
    assert minimal.run("cat", stdin="a'\"$b\nü\n").stdout == "a'\"$b\nü\n"
    result = minimal.run('echo "$KEY"; echo err >&2; exit 3', check=False, environment={"KEY": "a b"})
    assert (result.exit_code, result.stdout, result.stderr) == (3, "a b\n", "err\n")
    with pytest.raises(AssertionError, match=r"exit 4"):
        minimal.run("exit 4")
    minimal.write("/tmp/a folder/file", "text\n", "0640")
    assert minimal.read("/tmp/a folder/file") == "text\n"
    assert minimal.run("stat -c %a '/tmp/a folder/file'").stdout == "640\n"


@pytest.mark.parametrize("command", ["echo not yet; false", "echo not yet; sleep 60"])
def test_waiting_stops_at_the_timeout(minimal: BenchHost, command: str) -> None:
    with pytest.raises(AssertionError, match=r"the thing is not there after 1 s"):
        minimal.wait_until(command, 1, "the thing")


def test_hosts_reach_each_other_and_can_have_fixed_addresses(
    client: docker.DockerClient, minimal: BenchHost
) -> None:
    fixed = network.fixed_address(client, 77)
    plain = BenchHost.start(BOOKWORM, "plain", systemd=False, address=fixed)
    try:
        assert plain.run("cat /proc/1/comm").stdout == "sh\n"
        assert plain.address == fixed
        assert IPv4Address(minimal.address) not in next(IPv4Network(f"{fixed}/24", strict=False).subnets())
        probe = f"import socket; socket.create_connection(({minimal.address!r}, 22), 5)"
        plain.run(f'python3 -c "{probe}"')
    finally:
        plain.remove()


def test_a_subnet_in_use_is_skipped() -> None:
    first, second, *_ = network.CANDIDATES
    assert network.free_subnet([]) == first
    assert network.free_subnet([IPv4Network("10.224.0.0/11"), IPv4Network("172.17.0.0/16")]) == second
    with pytest.raises(RuntimeError, match=r"in use"):
        network.free_subnet([IPv4Network("10.0.0.0/8")])


@pytest.mark.parametrize("user", ["root", "op"])
def test_pyinfra_logs_in_over_ssh_and_checks_the_host_key(
    minimal: BenchHost, tmp_path: Path, user: str
) -> None:
    key = make_key(tmp_path)
    allow_key(minimal, key)
    data = host_data(minimal, key, user)
    ran = _pyinfra(tmp_path, data)
    assert ran.returncode == 0, ran.stdout
    assert f"in as {user}" in ran.stdout

    Path(str(data["ssh_known_hosts_file"])).write_text("")
    ran = _pyinfra(tmp_path, data)
    assert ran.returncode != 0
    assert "No host key" in ran.stdout


def _pyinfra(folder: Path, data: dict[str, str | int]) -> subprocess.CompletedProcess[str]:
    inventory = folder / "inventory.py"
    inventory.write_text(f"hosts = [('box', {data!r})]\n")
    return subprocess.run(
        [sys.executable, "-m", "pyinfra", "-y", str(inventory), "exec", "--", "echo in as $(id -un)"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False,
    )  # fmt: skip


def test_the_docker_host_has_an_engine_on_overlay2_and_sudo_for_its_operator(tmp_path: Path) -> None:
    host = BenchHost.start(BOOKWORM_DOCKER)
    try:
        host.wait_until("docker info", 60, "Docker Engine")
        assert host.run("docker info -f '{{.Driver}}'").stdout == "overlay2\n"
        allow_key(host, make_key(tmp_path))
        assert host.run("su op -c 'sudo -n id -u'").stdout == "0\n"
    finally:
        host.remove()


def test_only_leftovers_of_a_dead_process_are_removed(client: docker.DockerClient) -> None:
    script = (
        "import os\n"
        "from tests.bench.hosts import BenchHost\n"
        "from tests.bench.recipes import BOOKWORM\n"
        "print(BenchHost.start(BOOKWORM, 'left', systemd=False).name, flush=True)\n"
        "os._exit(0)\n"
    )
    left = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    ).stdout.strip()
    volumes = {mount["Name"] for mount in client.containers.get(left).attrs["Mounts"] if mount.get("Name")}
    assert len(volumes) == 3
    living = BenchHost.start(BOOKWORM, "living", systemd=False)
    foreign = client.containers.create(image(client, BOOKWORM), ["true"], labels={"some": "thing"})
    try:
        assert left in remove_leftovers()
        with pytest.raises(NotFound):
            client.containers.get(left)
        assert not volumes & {volume.name for volume in client.volumes.list()}
        assert living.run("echo still here").stdout == "still here\n"
        foreign.reload()
    finally:
        foreign.remove()
        living.remove()


def test_a_reused_process_id_is_not_the_same_owner() -> None:
    pid, _, started = leftovers.this_process().partition("-")
    assert leftovers.is_alive(f"{pid}-{started}")
    assert not leftovers.is_alive(f"{pid}-{int(started) - 1}")
    assert leftovers.is_alive("something the bench never wrote")


@pytest.mark.parametrize("change", [{"packages": (*BOOKWORM.packages, "less")}, {"versions": ()}, {"newer": ("runc",)}, {"programs": (CRANE,)}, {"files": (("/etc/x", ""),)}])  # fmt: skip
def test_a_changed_recipe_has_a_different_tag(change: dict[str, object]) -> None:
    changed = replace(BOOKWORM, **change)  # type: ignore[arg-type]
    assert changed.tag != BOOKWORM.tag
    assert changed.tag.startswith("homelab-bench-bookworm:")
    assert replace(BOOKWORM).tag == BOOKWORM.tag


def test_changing_a_program_s_source_changes_the_recipe_s_tag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "OWN", tmp_path)
    recipe = replace(BOOKWORM, programs=(programs.Program("tool"),))
    (tmp_path / "tool").mkdir()
    (tmp_path / "tool/main.go").write_text("package main\n")
    before = recipe.tag
    assert recipe.tag == before
    (tmp_path / "tool/main.go").write_text("package main // changed\n")
    assert recipe.tag != before


def test_an_image_with_an_unexpected_version_is_rejected(
    client: docker.DockerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = "/bin/sh /bin/cat"
    pack = f"tar -chf - -C / {programs} /etc/debian_version $(ldd {programs} | grep -o '/lib[^ ]*' | sort -u) 2>/dev/null"
    command = ["docker", "run", "--rm", image(client, BOOKWORM), "sh", "-c", pack]
    packed = subprocess.run(command, stdout=subprocess.PIPE, timeout=60, check=True).stdout

    def stand_in(_: Recipe, archive: Path) -> None:
        """Instead of mmdebstrap: just enough of a Debian 12 to print its version."""
        archive.write_bytes(packed)

    recipe = replace(BOOKWORM, name="refused", versions=(("cat /etc/debian_version", r"11\."),))
    monkeypatch.setattr(recipes, "_build", stand_in)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"^refused: 'cat /etc/debian_version' says '12\.\S+', not"):
        image(client, recipe)
    assert not client.images.list("homelab-bench-refused")
    assert not list(tmp_path.rglob("*.tar"))


SOURCES = """\
# a comment
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates bookworm-backports
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://other.example/linux/debian
Suites: bookworm
Components: stable

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
"""


def test_only_debian_sources_are_used(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d/debian.sources").write_text(SOURCES)
    (tmp_path / "sources.list").write_text(
        "deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/security bookworm-security main # ours\n"
        "deb http://mirror.example/debian trixie main\n"
        "deb-src http://mirror.example/debian bookworm main\n"
    )
    assert sources("bookworm", tmp_path) == (
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n"
        "Types: deb\nURIs: http://mirror.example/security\nSuites: bookworm-security\nComponents: main\n"
        "Signed-By: /k.gpg\n"
    )
    assert sources("trixie", tmp_path) == (
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: trixie\nComponents: main\n"
    )
    with pytest.raises(RuntimeError, match=r"no apt source of this machine has Debian's suite sid"):
        sources("sid", tmp_path)


@pytest.mark.parametrize("available_suite", ["bookworm", "trixie"])
def test_sources_of_a_missing_suite_are_derived_from_another_suite(
    tmp_path: Path, available_suite: str
) -> None:
    (tmp_path / "sources.list").write_text(
        f"deb http://mirror.example/debian {available_suite} main\n"
        f"deb http://mirror.example/debian {available_suite}-updates main\n"
        f"deb http://mirror.example/debian {available_suite}-backports main\n"
        f"deb http://mirror.example/security {available_suite}-security main\n"
    )
    entry = "Types: deb\nURIs: http://mirror.example/{}\nSuites: {}\nComponents: main\n".format
    for suite in ("bookworm", "trixie"):
        assert sources(suite, tmp_path) == "\n".join(
            [
                entry("debian", suite),
                entry("debian", f"{suite}-updates"),
                entry("security", f"{suite}-security"),
            ]
        )
    assert sources("forky", tmp_path) == entry("debian", "forky")
