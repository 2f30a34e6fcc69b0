"""The containers' images on the registry host."""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator
from functools import partial

from pyinfra import host
from pyinfra.api.command import PyinfraCommand
from pyinfra.api.operation import operation

from tasks.registry import image_age, images
from tasks.registry.context import RegistryContext
from tasks.registry.images import Image
from tasks.run.apply import AnyStep, RemoteStep, apply_steps
from tasks.run.context import ROOT, Run


@operation()
def provide() -> Generator[PyinfraCommand, None, None]:
    """Build or pull the images that are missing."""
    yield from apply_steps(host, _decide, "both images are there")


def _decide(run: Run) -> list[AnyStep]:
    context = run.part(RegistryContext)
    needed = images.wanted(
        run.configuration.settings, context.present.images, images.read_scripts(ROOT / "files")
    )
    # Until a digest is known, a plan shows the container by the image's name.
    context.images = {role: image.reference or image.name for role, image in needed.items()}
    present = context.found.images if context.found else {}
    absent = images.missing(needed, present, run.machines[host.name].family)
    _note_age(run)
    context.made_images = {context.images[role] for role in absent}
    return [
        image.step if image.built else RemoteStep(image.step, partial(_keep_digest, run, role, image))
        for role, image in absent.items()
    ]


def _note_age(run: Run) -> None:
    """Note which images may be out of date."""
    context, now = run.part(RegistryContext), dt.datetime.now(dt.UTC)
    if context.found is None:
        return
    for reference, built in context.found.built.items():
        if reason := image_age.warning(built, context.found.debian, now):
            again = f"to have it built again, on that host: docker rmi -f {reference}, and run again"
            run.report.note(host.name, f"the image {reference} may be out of date: {reason}; {again}")


def _keep_digest(run: Run, role: str, image: Image, repo_digests: str) -> None:
    context = run.part(RegistryContext)
    reference = images.digest_of(image.name, repo_digests)
    context.made_images.add(reference)
    context.images[role] = reference
    context.decide(images={**context.desired.images, image.name: reference})
    run.store.write_record(host.name, context.desired.images, context.desired.storage)
