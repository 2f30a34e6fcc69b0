"""`python -m tests.bench prepare`: an engine on this machine, by the project's own task, and all host images."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import docker

from tests.bench.hosts import remove_leftovers
from tests.bench.recipes import RECIPES, image

ROOT = Path(__file__).parents[2]


def prepare() -> None:
    """Install and start Docker Engine here if there is none, and make the images that are missing."""
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


if sys.argv[1:] == ["prepare"]:
    prepare()
else:
    sys.exit(__doc__)
