"""The keeper: a small container that measures what the images take up, and has the gateway refuse uploads at a limit.

It exists only if `registry_storage_limit` is set. It writes the very answer that the gateway gives, in one rename, so
that neither the gateway nor the registry is restarted when a limit is set, changed or taken out. If it dies, its last
answer stays: what is unknown is neither full nor empty, and runs and the verification say that nobody measures.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from tasks.registry import containers
from tasks.registry.containers import FORMER, NEXT, STORAGE, UID, Container, Mount
from tasks.registry.storage import MARK
from tasks.remote.docker import OWN_ENGINE
from tasks.remote.steps import Step
from tasks.remote.templates import environment
from tasks.settings import sizes
from tasks.settings.load import Settings

NAME = "homelab-registry-keeper"
SCRIPT = "keeper/keeper.sh"
"""The script that it runs, in our folder on the registry host."""

LIMIT = "gateway/limit"
"""The folder that it writes to, in our folder on the registry host. The gateway looks there at each upload's start."""

CONFIG = "/etc/keeper"
ANSWERS = "/run/keeper"
"""That folder inside the keeper's container."""

REFUSAL = "full.json"
"""The gateway's answer to a client that begins an upload, as long as there is this file."""

FIGURES = "figures"
"""What was measured: bytes used, when (Unix time), and when at the latest it is measured again."""

REMEDY = "run make make-room (docs/by-task.md#the-disk-is-full) or raise registry_storage_limit"
"""What clients and people are told to do."""

FOLDERS = ("keeper", LIMIT)


NAMES = (NAME, NAME + NEXT, NAME + FORMER)
"""The names under which there may be a keeper, the one that lasts first."""


class Keeper(Container):
    """Has no port and no socket to be asked on: its script says how it is."""

    @property
    def health(self) -> str:
        """The health check."""
        return f"sh {CONFIG}/keeper.sh check"

    @property
    def bounds(self) -> tuple[str, ...]:
        """Arguments of `docker create`: the shell, du and what they start."""
        return ("--pids-limit=32",)


def keeper(image: str, folder: str, storage: str, script_sha256: str, user: int = UID) -> Keeper:
    """Return the keeper's container, of the registry's image: that one has a shell with du and stat.

    It can read the images, because they belong to its user, and write nothing but its answers.
    """
    return Keeper(
        name=NAME,
        image=image,
        command=("sh", f"{CONFIG}/keeper.sh"),
        health_path="",
        mounts=(
            Mount(f"{folder}/keeper", CONFIG),
            Mount(f"{folder}/{LIMIT}", ANSWERS, writable=True),
            Mount(storage, STORAGE),
        ),
        config=f"{folder}/{SCRIPT}",
        config_sha256=script_sha256,
        memory=128 * 2**20,
        stop_signal="SIGKILL",  # it only replaces files in one rename
        user=user,
    )


def script(settings: Settings, templates: str) -> str:
    """Return the text of the keeper's script; `templates` is their folder."""
    limit = settings.registry_storage_limit
    if limit is None:
        raise ValueError("there is no limit")
    return (
        environment(templates)
        .get_template("keeper.sh.j2")
        .render(
            container=containers,
            mark=MARK,
            keeper={"ANSWERS": ANSWERS, "REFUSAL": REFUSAL, "FIGURES": FIGURES},
            limit=settings.storage_limit,
            tenth=sizes.UNITS[sizes.unit_of(limit)] // 10,
            message=f"the registry's storage is full: USED of {sizes.shown(limit)} are used; {REMEDY}, and push again",
        )
    )


def removal(folder: str, present: Mapping[str, Mapping[str, Any]], paths: Mapping[str, Any]) -> list[Step]:
    """Return the step that removes the keeper and what it wrote, if any of it is there.

    `present` has the containers by name, `paths` what is in `folder`, ours on the registry host. A container of that
    name which is not ours stays.
    """
    ours = [name for name in NAMES if name in present and containers.is_ours(present[name])]
    folders = [f"{folder}/{name}" for name in FOLDERS if paths[f"{folder}/{name}"]]
    stop = [f"docker rm -f {shlex.join(ours)} >/dev/null"] if ours else []
    remove = [f"rm -rf {shlex.join(folders)}"] if folders else []
    if not stop and not remove:
        return []
    text = f"remove {NAME} and what it measured: registry_storage_limit is not set"
    return [Step(text, OWN_ENGINE + " && ".join([*stop, *remove]))]


# Two keepers would contradict each other, so the one before stops first; it goes on if the new one cannot measure. A
# large folder takes longer than this waits: that is seen at the next run. It prints what was measured.
REPLACE = """
measured() { [ "$(stat -c %Y "$figures" 2>/dev/null || echo 0)" -ge "$begun" ]; }
measures() {
    said=$(docker start "$spare" 2>&1 >/dev/null) || return 1
    for _ in $(seq 60); do
        ! measured || return 0
        sleep 0.25
    done
    said="$name cannot measure: $(docker logs --tail 1 "$spare" 2>&1)"
    docker exec "$spare" sh -c "$health" >/dev/null 2>&1
}
create "$@"
! there "$name" || docker stop "$name" >/dev/null || give_up "the keeper of before does not stop"
begun=$(date +%s)
if ! measures; then
    docker rm -f "$spare" >/dev/null 2>&1
    ! there "$name" || docker start "$name" >/dev/null
    give_up "$said"
fi
take_over
retire "$former"
! measured || cat "$figures"
"""
