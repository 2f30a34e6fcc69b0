"""The metrics: a small container that counts the gateway's requests, measures, and writes what Prometheus reads.

It exists only with `registry_metrics`. The gateway then writes a line for each request, without names and paths, into a
file in memory that both containers share. mtail counts these lines, and a script puts the counts, what it measures and
what the last run wrote into one text (`templates/metrics.sh.j2`), which the gateway sends. It has no network.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping
from typing import Any

from tasks.registry import cache, containers, images, keeper
from tasks.registry.containers import FORMER, NEXT, STORAGE, UID, Container, Memory, Mount
from tasks.remote.docker import OWN_ENGINE
from tasks.remote.steps import Step
from tasks.remote.templates import environment
from tasks.settings import sizes
from tasks.settings.load import Settings
from tasks.storage import trash

NAME = "homelab-registry-metrics"
"""The container, and the volume in memory that it shares with the gateway."""

NAMES = (NAME, NAME + NEXT, NAME + FORMER)
"""The names under which there may be one, the one that lasts first."""

FOLDER = "metrics"
"""What it reads, in our folder on the registry host."""

SCRIPT, PROGRAM = f"{FOLDER}/metrics.sh", f"{FOLDER}/requests.mtail"
OF_RUN = f"{FOLDER}/run.prom"
"""What the last run knew."""

RUN, TIMER_RUN = f"{FOLDER}/run", f"{FOLDER}/timer-run"
"""Empty files: when a run, and when one of the timer, looked at this host. Their times are the host's."""

CONFIG = "/etc/metrics"
SHARED = "/run/metrics"
"""Inside both containers."""

TEXT = "text"
"""What Prometheus reads, there."""

NGINX_LINK = "/tmp/requests"  # noqa: S108 (a tmpfs of the gateway's own)
"""The file that nginx opens: a link to a file in `SHARED`."""

START = f"""
new() {{ requests={SHARED}/requests.$HOSTNAME.$((n = n + 1)) && : > "$requests"; }}
new && ln -sfn "$requests" {NGINX_LINK}
while sleep 20; do
    touch "$requests"
    find {SHARED} -name 'requests.*' -mmin +1 -exec rm -f {{}} +
    [ "$(stat -c %s "$requests")" -gt 4000000 ] || continue
    new && sleep 2 && ln -sfn "$requests" {NGINX_LINK} && kill -USR1 1
done &
exec nginx -c {containers.GATEWAY_CONFIG}/nginx.conf
"""
"""What the gateway runs with metrics. nginx keeps its file open, and reopens it at a signal. No line is lost: mtail
skips the lines that a file has when it finds it (its tail.go), so it gets time to find a new one before nginx writes
there; and the file before stays for a minute. What a gateway that is gone left goes too."""


class Metrics(Container):
    """Has no port and no socket to be asked on: its script says how it is."""

    @property
    def health(self) -> str:
        """The health check."""
        return f"sh {CONFIG}/metrics.sh check"

    @property
    def bounds(self) -> tuple[str, ...]:
        """Arguments of `docker create`: the shell, what it starts, and mtail's threads."""
        return ("--pids-limit=64",)

    @property
    def read_at_start(self) -> tuple[str, ...]:
        """Paths on the host."""
        folder = self.config.removesuffix(SCRIPT)
        return (f"{folder}{SCRIPT}", f"{folder}{PROGRAM}")


def shared() -> Memory:
    """Return what the gateway and this container share."""
    return Memory(NAME, SHARED, writable=True)


def container(
    settings: Settings, image: str, folder: str, texts: Mapping[str, str], user: int = UID
) -> Metrics:
    """Return the container; `folder` is ours on the registry host, `texts` are those of `files`."""
    limit = [Mount(f"{folder}/{keeper.LIMIT}", keeper.ANSWERS)] if settings.storage_limit else []
    caches = [Mount(settings.registry_cache_path, cache.STORAGE)] if settings.registry_caches else []
    return Metrics(
        name=NAME,
        image=image,
        command=("sh", f"{CONFIG}/metrics.sh"),
        health_path="",
        mounts=(
            Mount(f"{folder}/{FOLDER}", CONFIG),
            Mount(settings.registry_storage_path, STORAGE),
            *limit,
            *caches,
            shared(),
        ),
        config=f"{folder}/{SCRIPT}",
        config_sha256=hashlib.sha256("".join(texts.values()).encode()).hexdigest(),
        memory=128 * 2**20,
        stop_signal="SIGKILL",  # it only replaces a file in one rename
        user=user,
    )


def files(settings: Settings, templates: str) -> dict[str, str]:
    """Return the text of each file that the container reads at its start; `templates` is their folder."""
    if not settings.registry_metrics:
        return {}
    render = environment(templates).get_template
    values = {
        "container": containers,
        "keeper": keeper,
        "cache": cache,
        "metrics": names(),
        "trash": trash,
        "limit": settings.storage_limit,
        "cache_limit": sizes.size_in_bytes(settings.registry_cache_limit)
        if settings.registry_caches
        else None,
    }
    return {
        SCRIPT: render("metrics.sh.j2").render(values),
        PROGRAM: render("requests.mtail.j2").render(values),
    }


def names() -> dict[str, str]:
    """Return what templates call the places of the metrics."""
    return {
        "CONFIG": CONFIG, "SHARED": SHARED, "TEXT": TEXT, "REQUESTS": NGINX_LINK,
        "OF_RUN": OF_RUN.removeprefix(f"{FOLDER}/"), "RUN": RUN.removeprefix(f"{FOLDER}/"),
        "TIMER_RUN": TIMER_RUN.removeprefix(f"{FOLDER}/"),
    }  # fmt: skip


def touch(folder: str, *, by_timer: bool) -> str:
    """Return the command that notes that a run looked at this host."""
    return f"touch {shlex.join(f'{folder}/{each}' for each in (RUN, *([TIMER_RUN] if by_timer else [])))}"


def mark(folder: str, *, by_timer: bool) -> str:
    """Return the script that notes it where there are metrics: it is the only command of a run without changes."""
    return f"[ ! -d {shlex.quote(f'{folder}/{FOLDER}')} ] || {touch(folder, by_timer=by_timer)} || exit 1"


def removal(folder: str, present: Mapping[str, Mapping[str, Any]], paths: Mapping[str, Any]) -> list[Step]:
    """Return the step that removes the container and all that it had, if any of it is there.

    `present` has the containers by name, `paths` what is in `folder`, ours on the registry host. It comes once the
    gateway does without the volume. A container of that name which is not ours stays.
    """
    ours = [each for each in NAMES if each in present and containers.is_ours(present[each])]
    if not ours and not paths[f"{folder}/{FOLDER}"]:
        return []
    built = {str(present[each]["Config"].get("Image", "")) for each in ours}
    unused = sorted(image for image in built if image.startswith(f"{images.HOST}/"))
    script = [
        *([f"docker rm -f {shlex.join(ours)} >/dev/null"] if ours else []),
        f"{{ ! docker volume inspect {NAME} >/dev/null 2>&1 || docker volume rm {NAME} >/dev/null; }}",
        *([f"{{ docker rmi {shlex.join(unused)} >/dev/null 2>&1 || true; }}"] if unused else []),
        f"rm -rf {shlex.quote(f'{folder}/{FOLDER}')}",
    ]
    return [
        Step(f"remove {NAME} and what it counted: registry_metrics is off", OWN_ENGINE + " && ".join(script))
    ]


# Two of them would replace each other's text, so the one before stops first; it goes on if the new one does not work.
REPLACE = """
create "$@"
! there "$name" || docker stop "$name" >/dev/null || give_up "the container of before does not stop"
if ! become_healthy; then
    docker rm -f "$spare" >/dev/null 2>&1
    ! there "$name" || docker start "$name" >/dev/null
    give_up "$said"
fi
take_over
retire "$former"
"""
