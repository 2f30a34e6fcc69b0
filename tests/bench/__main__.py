"""The test bench's command line.

python -m tests.bench prepare      start Docker Engine with the project's own task; build all host images and programs
python -m tests.bench prepare chain     the same, but only the host image that tests/chain needs, and no program
python -m tests.bench prepare cluster   the same, but only the host images and programs that tests/cluster needs
python -m tests.bench up [NAME…]   boot hosts by the names of their recipes, by default all but a cluster's, and write an
                                   inventory that lists them; they run until `down`
python -m tests.bench down         remove the hosts of `up`, and leftovers of interrupted runs
python -m tests.bench list         show all hosts, with their addresses and owners
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker

from tests.bench.cache import cache
from tests.bench.fleet import Fleet
from tests.bench.hosts import remove_leftovers
from tests.bench.leftovers import LABEL, is_alive, remove_owned_by, this_machine
from tests.bench.machine import INOTIFY, INSTANCES, missing_requirement, raise_inotify_limit
from tests.bench.programs import COREDNS, CRI_PULL, KUBE, PROGRAMS, WAITS, Program, program
from tests.bench.recipes import BOOKWORM, BOOKWORM_NODE, CLUSTER, RECIPES, Recipe, image

ROOT = Path(__file__).parents[2]
UP_FOLDER = cache() / "up"
"""The SSH key, the inventory and the state of the hosts of `up`."""

TOOLS = {
    "chromium": "chromium",
    "curl": "curl",
    "openssl": "openssl",
    "ssh-keygen": "openssh-client",
    "faketime": "faketime",
    "shellcheck": "shellcheck",
    "mmdebstrap": "mmdebstrap",
    "qemu-aarch64-static": "qemu-user-static",
}
"""Programs that the tests call, and the Debian packages that contain them."""

CHAIN_TOOLS = {tool: TOOLS[tool] for tool in ("curl", "openssl", "ssh-keygen", "mmdebstrap")}
"""The tools that tests/chain needs."""


def prepare(
    recipes: Collection[Recipe], programs: Collection[Program], tools: Mapping[str, str] = TOOLS
) -> None:
    """Build what is missing. Images and programs in parallel: images mostly wait for a mirror, programs for the CPU."""
    engine(tools)
    with ThreadPoolExecutor() as pool:
        for made in [pool.submit(_images, recipes), pool.submit(_programs, programs)]:
            made.result()


def _images(recipes: Collection[Recipe]) -> None:
    client = docker.from_env()
    for number, recipe in enumerate(recipes, 1):
        print(f"image {number} of {len(recipes)}: {image(client, recipe)}", flush=True)


def _programs(programs: Collection[Program]) -> None:
    for number, each in enumerate(programs, 1):
        print(f"program {number} of {len(programs)}: {program(each).name}", flush=True)


def engine(tools: Mapping[str, str] = TOOLS) -> None:
    """Install what the tests need, start Docker Engine if it does not run, and remove leftovers of interrupted runs."""
    if requirement := missing_requirement():
        sys.exit(f"This machine lacks {requirement}. `make test-unit` needs no host.")
    try:
        raise_inotify_limit()
    except OSError as error:
        print(
            f"{INOTIFY}: {error.strerror}; with fewer than {INSTANCES}, hosts of `make test-all` may fail to boot"
        )
    packages = [package for tool, package in tools.items() if shutil.which(tool) is None]
    if packages:
        subprocess.run(["apt-get", "update", "-q"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["apt-get", "install", "-q", "-y", *packages], check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory() as folder:
        inventory = Path(folder) / "engine.py"
        inventory.write_text('registry = ["@local"]\n')
        ran = subprocess.run(
            [sys.executable, "-m", "pyinfra", "-y", "--data", f"registry_state_dir={folder}/state", str(inventory),
             "tests/bench/engine.py"],
            cwd=ROOT, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    if ran.returncode != 0:
        sys.exit("This machine lacks Docker Engine, for the reason above. `make test-unit` needs no host.")
    for name in remove_leftovers():
        print(f"removed {name}, left by an interrupted run")


def up(names: list[str]) -> None:
    """Boot hosts that run until `down`, and write their inventory."""
    if unknown := sorted(set(names) - set(RECIPES)):
        sys.exit(f"no recipe {', '.join(unknown)}; there are {', '.join(RECIPES)}")
    engine()
    machine = this_machine()
    running = docker.from_env().containers.list(all=True, filters={"label": f"{LABEL}={machine}"})
    if running:
        sys.exit(f"up already: {UP_FOLDER / 'bench.py'}; `make bench-down` removes them")
    shutil.rmtree(UP_FOLDER, ignore_errors=True)
    UP_FOLDER.mkdir(mode=0o700)
    (UP_FOLDER / "group_data").mkdir()
    plain = [name for name, recipe in RECIPES.items() if recipe not in CLUSTER]
    wanted = {name: RECIPES[name] for name in names or plain}
    print(f"bringing up {', '.join(wanted)} ...", flush=True)
    fleet = Fleet.start(wanted, UP_FOLDER, as_root=[BOOKWORM.name], owner=machine)
    engines = [name for name, recipe in wanted.items() if "docker.io" in recipe.packages]
    groups = {
        "registry": engines[:1],
        "docker_hosts": [*engines, *(name for name in wanted if name == BOOKWORM.name)],
        "cluster_nodes": [name for name in wanted if name.endswith("-node")],
    }
    (UP_FOLDER / "bench.py").write_text(fleet.inventory(groups))
    (UP_FOLDER / "group_data" / "bench.py").write_text(f"registry_state_dir = {str(UP_FOLDER / 'state')!r}\n")
    for name, data in fleet.data.items():
        known = f"-i {data['ssh_key']} -o UserKnownHostsFile={data['ssh_known_hosts_file']}"
        print(f"{name}: ssh {known} {data['ssh_user']}@{data['ssh_hostname']}")
    print(f"make deploy INVENTORY={UP_FOLDER / 'bench.py'}\nmake bench-down")


def down() -> None:
    """Remove the hosts of `up` and leftovers; hosts of running tests are not touched."""
    machine = this_machine()
    for name in remove_owned_by(lambda owner: owner == machine or not is_alive(owner)):
        print(f"removed {name}")
    shutil.rmtree(UP_FOLDER, ignore_errors=True)


def show() -> None:
    """Print a line for each host."""
    for container in docker.from_env().containers.list(
        all=True, filters={"label": LABEL}, ignore_removed=True
    ):
        networks = container.attrs["NetworkSettings"]["Networks"].values()
        addresses = ",".join(network["IPAddress"] for network in networks) or "-"
        owner = container.labels[LABEL]
        state = "stays" if owner == this_machine() else f"run {owner}" if is_alive(owner) else "left over"
        print(container.name, container.status, addresses or "-", state)


try:
    match sys.argv[1:]:
        case ["prepare"]:
            prepare(RECIPES.values(), PROGRAMS.values())
        case ["prepare", "chain"]:
            prepare([BOOKWORM_NODE], (), CHAIN_TOOLS)
        case ["prepare", "cluster"]:
            prepare(CLUSTER, (KUBE, CRI_PULL, WAITS, COREDNS))
        case ["up", *names]:
            up(names)
        case ["down"]:
            down()
        case ["list"]:
            show()
        case _:
            sys.exit(__doc__)
except RuntimeError as error:  # an unexpected version in an image, or a program that does not build
    sys.exit(str(error))
