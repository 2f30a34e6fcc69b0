"""What is cleared is asked for again, and nothing else; and what verifies the caches finds what is wrong with them."""

from __future__ import annotations

import json
import re

from tests import pages
from tests.caches.caches import CONTAINER, MIRROR, STORAGE, Caches
from tests.caches.hub import Made
from tests.fleet.deployment import RunResult

ONE, TWO, OTHER = "docker.io/library/clear:1", "docker.io/library/clear:2", "ghcr.io/owner/stays:1"
LOOK = "/etc/cache/[c]heck.sh"
"""The caches' own look at what they have; as a pattern that does not match the command that it is in (pgrep(1))."""
SIZES = {ONE: (9 << 20, 300), TWO: (400,), OTHER: (500,)}


def clear(caches: Caches, *arguments: str) -> RunResult:
    """Run `make cache-clear` with these arguments for pyinfra, `-y` by default."""
    ran = caches.gateway.deployment.run(*(arguments or ("-y",)), deploy="deploys/cache_clear.py")
    assert ran.exit_code == 0, ran.output
    return ran


def clear_everything(caches: Caches) -> list[Made]:
    """Empty the caches, and return images that are pulled through them then."""
    (step,) = clear(caches).steps
    assert re.match(r"empty the caches, \d+ files with .*: it was asked for", step)
    assert _files(caches) == 0
    assert clear(caches).steps == []
    images = caches.hub.add_all(SIZES)
    for each in images:
        assert caches.mirror.pull(each).digest == each.digest
    return images


def clear_one(caches: Caches, images: list[Made]) -> None:
    """Clear the first of those images while the caches serve; the registries are asked for it alone again."""
    one, *others = images
    started, before = _started(caches), _files(caches)
    caches.hub.reset()
    data = ("--data", f"registry_cache_clear={ONE}")
    planned, ran = clear(caches, "--dry", *data), clear(caches, "-y", *data)
    assert planned.steps == ran.steps
    (step,) = ran.steps
    found = re.fullmatch(rf"remove {ONE} from the caches, (\d+) files with 9\.4\d MB: it was asked for", step)
    assert found, step
    assert before - _files(caches) == int(found[1])
    assert clear(caches, "-y", *data).steps == []
    for image in others:
        caches.mirror.pull(image)
    assert _gets(caches) == 0
    assert caches.mirror.pull(one).digest == one.digest
    assert _gets(caches) == 2  # the index and the manifest
    assert (_files(caches), _started(caches)) == (before, started)


def pull_with_docker(caches: Caches) -> None:
    """Pull with the Docker of the registry host, which has a graph driver, while the internet is away."""
    host = caches.gateway.host
    mirrors = host.run("docker info -f '{{json .RegistryConfig.Mirrors}}'").stdout
    assert json.loads(mirrors) == [f"https://{MIRROR}/"]
    assert "Backing Filesystem" in host.run(pages.in_text("docs/caches.md", "docker info")).stdout
    with caches.hub.behaving(down=True):
        host.run(f"docker pull -q {ONE}")
    host.run(f"docker rmi {ONE}")
    host.wait_until(
        f"{pages.line('docs/caches.md', 'docker logs')} | grep -q /v2/library/clear/manifests/1", 5, "the log"
    )


def verify(caches: Caches, images: list[Made]) -> None:
    """Damage a piece of a blob as a disk does, and verify the caches before and after its removal.

    The caches have compared it with its digest by then, and do so once.
    """
    host = caches.gateway.host
    piece = "^KEY: docker.io blob sha256:[0-9a-f]{64} bytes=8388608-"
    (path, *_) = host.run(f"grep -rlaE '{piece}' {STORAGE}/images").stdout.split()
    looked = f"grep -q \"^$(stat -c '%i %Y' {path}) \" {STORAGE}/checked"
    host.wait_until(looked, 30, "the caches' own look at it")
    host.run(
        f"pkill -STOP -f {LOOK} && touch -r {path} /tmp/time && printf x | dd of={path} bs=1 status=none "
        f"seek=$(($(stat -c %s {path}) - 9)) conv=notrunc && touch -r /tmp/time {path} && pkill -CONT -f {LOOK}"
    )
    code, printed = _verify(caches)
    said = rf"damaged in the cache of docker\.io, and removed, .*: sha256:[0-9a-f]{{64}} \(of {ONE}\); check that disk"
    assert code == 1 and re.search(said, printed), printed  # noqa: PT018 - one claim
    assert host.run(f"test -e {path}", check=False).exit_code == 1
    assert caches.mirror.pull(images[0]).digest == images[0].digest
    code, printed = _verify(caches, "test_containers")
    assert code == 0, printed
    for image in images:
        assert f"{image.reference} came through the caches (" in printed


def _verify(caches: Caches, *modules: str) -> tuple[int, str]:
    ran = caches.gateway.deployment.verify("-k", " or ".join(("test_caches", *modules)))
    return ran.returncode, ran.stdout + ran.stderr


def _files(caches: Caches) -> int:
    return int(caches.gateway.host.run(f"find {STORAGE}/images {STORAGE}/tags -type f | wc -l").stdout)


def _gets(caches: Caches) -> int:
    return sum(caches.hub.counters(name).manifest_gets for name in ("docker.io", "ghcr.io"))


def _started(caches: Caches) -> str:
    return caches.gateway.host.run(f"docker inspect -f '{{{{.State.StartedAt}}}}' {CONTAINER}").stdout
