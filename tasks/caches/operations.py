"""Remove from the caches what a user wants to have gone, while they serve: nginx asks for it again when it has to."""

from __future__ import annotations

import shlex
from collections.abc import Generator, Sequence
from functools import partial

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks.caches import images
from tasks.caches.facts import CachedFact
from tasks.caches.images import CachedFile
from tasks.remote.steps import Conflict, Step
from tasks.run.apply import AnyStep, RemoteStep, apply_steps, read_fact
from tasks.run.context import Run
from tasks.settings import sizes
from tasks.settings.load import Settings


@operation()
def clear() -> Generator[PyinfraCommand, None, None]:
    """Remove an image from the caches, or everything."""
    yield from apply_steps(host, _clear, _noop_reason)


def _clear(run: Run) -> list[AnyStep]:
    settings = run.configuration.settings
    image = settings.registry_cache_clear and images.parse(settings.registry_cache_clear)
    if image and settings.registry_caches:
        images.check(image, (each.name for each in settings.registry_caches))
    cached = read_fact(host, CachedFact, folder=settings.registry_cache_path)
    if not cached.deployed:
        raise Conflict(
            f"there are no caches in {settings.registry_cache_path} on this host",
            "set registry_caches, and run make deploy first",
        )
    files = images.of_image(image, cached) if image else cached.files
    if not files:
        return []
    what = f"remove {image} from the caches" if image else "empty the caches"
    step = Step(f"{what}, {_amount(files)}: it was asked for", *removal(settings, files))
    return [RemoteStep(step, partial(_check, len(files)))]


def removal(settings: Settings, files: Sequence[CachedFile]) -> tuple[str, str]:
    """Return the script that removes files of the caches, and its standard input."""
    script = f"cd {shlex.quote(settings.registry_cache_path)} && xargs rm -f -- && echo removed"
    return script, "\n".join(each.path for each in files)


def _check(count: int, printed: str) -> None:
    if printed.strip() != "removed":
        raise ValueError(f"not all of the {count} files were removed")


def _amount(files: Sequence[CachedFile]) -> str:
    return f"{len(files)} file{'s'[: len(files) != 1]} with {sizes.rounded(sum(each.size for each in files))}"


def _noop_reason(run: Run) -> str:
    image = run.configuration.settings.registry_cache_clear
    return f"nothing of {image} is in the caches that nothing else needs" if image else "the caches are empty"
