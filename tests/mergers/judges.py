"""The programs that the files belong to, as judges: each reads many texts at once."""

from __future__ import annotations

import io
import json
import re
import subprocess
import tarfile
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any

import docker
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from tests.bench.leftovers import LABEL, this_process
from tests.bench.programs import CONFIG_READERS, program
from tests.bench.recipes import Recipe, image
from tests.mergers import registries_conf_texts

# Half of a dump's time is the start of the program; garbage is not worth collecting in it.
# All files have one name: containerd 1.6 dumps it, among `imports`.
ASK = """
cd /tmp && tar xf - && export GOGC=off
ls -d [0-9]* | xargs -P "$(nproc)" -n 20 sh -c '
    for each; do (cd "$each" && { @COMMAND@; } > said 2> error || rm said); done' sh
tar cf - */said
"""
DUMP = "containerd -c config.toml config dump"
PULL = "; ".join(
    f"echo == {image}; skopeo --debug --registries-conf config.toml inspect docker://{image} 2>&1 || true"
    for image in registries_conf_texts.IMAGES
)


def count(soak: bool, sample: int = 100, shares: int = 1) -> int:
    """Return how many texts the judges get: a sample, or of the long campaign this test's share."""
    return 5000 // shares if soak else sample


def drawn(strategy: st.SearchStrategy[str], count: int) -> list[str]:
    """Return so many texts of a strategy, all different; without `--soak` the same every time."""
    found: dict[str, None] = {}

    @settings(max_examples=count, phases=[Phase.generate])
    @given(text=strategy)
    def draw(text: str) -> None:
        assume(text not in found)  # hypothesis repeats texts: of 5,000 examples a third
        found[text] = None

    draw()
    assert len(found) == count
    return list(found)


def asked(recipe: Recipe, command: str, texts: Sequence[str]) -> list[str | None]:
    """Return what a command in a host says of each `config.toml`, None if it fails."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as files:
        for number, text in enumerate(texts):
            data = text.encode()
            member = tarfile.TarInfo(f"{number:05}/config.toml")
            member.size = len(data)
            files.addfile(member, io.BytesIO(data))
    container = ["docker", "run", "--rm", "-i", "--network", "none", "--tmpfs", "/tmp", "--label"]
    hosts = [
        f"--add-host={re.split('[:/]', each)[0]}:127.0.0.1"
        for each in (*registries_conf_texts.IMAGES, registries_conf_texts.MIRROR)
    ]
    ran = subprocess.run(
        [*container, f"{LABEL}={this_process()}", *hosts, image(docker.from_env(), recipe), "sh", "-c",
         ASK.replace("@COMMAND@", command)],
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
