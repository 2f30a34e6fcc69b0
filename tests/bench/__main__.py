"""The bench by hand.

python -m tests.bench prepare    an engine on this machine, by the project's own task, and all host images
python -m tests.bench up NAME…   boot hosts by the names of their recipes, and leave them running
python -m tests.bench down       remove the hosts left running, and what runs that ended early left
python -m tests.bench list       show all hosts, with their addresses and owners
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import docker

from tests.bench.hosts import BenchHost, remove_leftovers
from tests.bench.leftovers import LABEL, alive, remove_owned_by, this_machine
from tests.bench.recipes import RECIPES, image

ROOT = Path(__file__).parents[2]


TOOLS = {"curl": "curl", "openssl": "openssl", "ssh-keygen": "openssh-client", "mmdebstrap": "mmdebstrap"}
"""Programs that the tests call, and Debian's packages of them."""


def prepare() -> None:
    """Install what the tests need, start Docker Engine if there is none, and make the images that are missing."""
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        subprocess.run(["apt-get", "update", "-q"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["apt-get", "install", "-q", "-y", *missing], check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory() as folder:
        inventory = Path(folder) / "engine.py"
        inventory.write_text('registry = ["@local"]\n')
        subprocess.run(
            [sys.executable, "-m", "pyinfra", "-y", "--data", f"registry_state_dir={folder}/state", str(inventory),
             "tests/bench/engine.py"],
            cwd=ROOT, check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    for name in remove_leftovers():
        print(f"removed {name}, left by a run that ended early")
    client = docker.from_env()
    for recipe in RECIPES.values():
        print(f"{recipe.tag} ...", flush=True)
        image(client, recipe)


def up(names: list[str]) -> None:
    """Boot hosts that stay until `down`."""
    unknown = sorted(set(names) - set(RECIPES))
    if unknown or not names:
        sys.exit(f"no recipe {', '.join(unknown) or 'given'}; there are {', '.join(RECIPES)}")
    for name in names:
        host = BenchHost.start(RECIPES[name], owner=this_machine())
        print(host.name, host.address, flush=True)


def down() -> None:
    """Remove what stays and what was left; hosts of runs that go on are not touched."""
    machine = this_machine()
    for name in remove_owned_by(lambda owner: owner == machine or not alive(owner)):
        print(f"removed {name}")


def show() -> None:
    """Print a line for each host."""
    for container in docker.from_env().containers.list(
        all=True, filters={"label": LABEL}, ignore_removed=True
    ):
        networks = container.attrs["NetworkSettings"]["Networks"].values()
        addresses = ",".join(network["IPAddress"] for network in networks) or "-"
        owner = container.labels[LABEL]
        state = "stays" if owner == this_machine() else f"run {owner}" if alive(owner) else "left over"
        print(container.name, container.status, addresses or "-", state)


match sys.argv[1:]:
    case ["prepare"]:
        prepare()
    case ["up", *names]:
        up(names)
    case ["down"]:
        down()
    case ["list"]:
        show()
    case _:
        sys.exit(__doc__)
