"""The programs that the files belong to, as judges: each reads many texts at once."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any

import docker
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.bench.leftovers import LABEL, this_process
from tests.bench.programs import CONFIG_READERS, program
from tests.bench.recipes import Recipe, image

DUMP = """
cd /tmp && tar xf - && ls -d [0-9]* | xargs -P 2 -I @ sh -c '
    cd @ && containerd -c config.toml config dump > said 2> error || rm said'
tar cf - */said
"""


def count(soak: bool, sample: int = 100) -> int:
    """Return how many texts the judges get: a sample, or those of the long campaign."""
    return 5000 if soak else sample


def drawn(strategy: st.SearchStrategy[str], count: int) -> list[str]:
    """Return texts of a strategy, without duplicates; with the profile `sample` the same every time."""
    found: dict[str, None] = {}

    @settings(max_examples=count, phases=[Phase.generate])
    @given(text=strategy)
    def draw(text: str) -> None:
        found[text] = None

    draw()
    return list(found)


def containerd(recipe: Recipe, texts: Sequence[str]) -> list[str | None]:
    """Return what the containerd of a host dumps for each `config.toml`, None where it reads none."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as files:
        for number, text in enumerate(texts):
            data = text.encode()
            member = tarfile.TarInfo(f"{number:05}/config.toml")
            member.size = len(data)
            files.addfile(member, io.BytesIO(data))
    command = ["docker", "run", "--rm", "-i", "--network", "none", "--label", f"{LABEL}={this_process()}"]
    ran = subprocess.run(
        [*command, image(docker.from_env(), recipe), "sh", "-c", DUMP],
        input=archive.getvalue(), capture_output=True, check=True,
    )  # fmt: skip
    found: list[str | None] = [None] * len(texts)
    with tarfile.open(fileobj=io.BytesIO(ran.stdout)) as files:
        for member in files:
            said = files.extractfile(member)
            assert said
            found[int(member.name.partition("/")[0])] = said.read().decode()
    return found


def reader(file: str) -> Callable[[Sequence[str]], list[Any]]:
    """Return the reader of a kind of file: K3s' for `registries.yaml`, Docker's client for `config.json`.

    It returns what was read of each text, None where that failed.
    """

    def read(texts: Sequence[str]) -> list[Any]:
        encoded = [b64encode(text.encode(errors="surrogatepass")).decode() for text in texts]
        ran = subprocess.run(
            [str(program(CONFIG_READERS)), file],
            input=json.dumps(encoded), capture_output=True, text=True, check=True,
        )  # fmt: skip
        return [each.get("value") for each in json.loads(ran.stdout)]

    return read
