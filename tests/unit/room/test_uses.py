"""Which stored images are in use: by what references mean, and by every digest that an engine has."""

from __future__ import annotations

import pytest

from tasks.room.uses import Use, in_use, names
from tasks.storage.stored import Blob, Manifest, Repository, Stored, Tag
from tests.unit.room.random_registries import digest

D = digest("x")


@pytest.mark.parametrize(
    ("reference", "meant"),
    [
        ("registry.homelab.local/apps/web:1.2", "apps/web:1.2"),
        ("registry.homelab.local:5443/apps/web:1.2", "apps/web:1.2"),
        ("192.168.1.10/apps/web:1.2", "apps/web:1.2"),
        ("[fd00::10]:5443/apps/web:1.2", "apps/web:1.2"),
        ("nas/apps/web", "apps/web:latest"),
        (f"nas:5000/apps/web:1.2@{D}", "apps/web:1.2"),
        (f"nas:5000/apps/web@{D}", None),
        (f"docker-pullable://nas:5000/apps/web@{D}", None),
        ("apps/web", "apps/web:latest"),
        ("nginx", "nginx:latest"),
        ("nginx", "library/nginx:latest"),
        ("docker.io/nginx:1", "library/nginx:1"),
        ("docker.io/nginx:1", "nginx:1"),
        ("nas:5000", None),
        (D, None),
    ],
)
def test_a_reference_means_a_repository_and_a_tag(reference: str, meant: str | None) -> None:
    found = {f"{repository}:{tag}" for repository, tag in names(reference)}
    assert meant in found if meant else not {each for each in found if "web" in each}


OLD, NEW, CHILD, INDEX, CONFIG = map(digest, ("old", "new", "child", "index", "config"))


def stored() -> Stored:
    """A tag that was moved from OLD to NEW, and one of an index."""
    manifests = {
        OLD: Manifest(True, "", {}, {CONFIG: 1}, None, frozenset({CONFIG})),
        NEW: Manifest(True, "", {}, {}, None, frozenset()),
        CHILD: Manifest(True, "", {}, {digest("other"): 1}, None, frozenset({digest("other")})),
        INDEX: Manifest(True, "", {CHILD: 1}, {}, None, frozenset({CHILD})),
    }
    tags = {
        name: Tag("apps/web", name, has, 1) for name, has in (("1.2", NEW), ("all", INDEX), ("twin", NEW))
    }
    repositories = {
        "apps/web": Repository("apps/web", tags, dict.fromkeys(manifests, 1)),
        "copy": Repository("copy", {}, {OLD: 1}),
    }
    return Stored(1, True, repositories, dict.fromkeys(manifests, Blob(1, 1)), manifests)


@pytest.mark.parametrize(
    ("text", "tags", "manifests"),
    [
        ("nas/apps/web:1.2", {"1.2"}, set()),
        ("nas/apps/web:gone", set(), set()),
        ("nas/other:1.2", set(), set()),
        (f"nas/apps/web@{NEW}", {"1.2", "twin"}, {("apps/web", NEW)}),
        (f"nas/apps/web:1.2@{OLD}", {"1.2"}, {("apps/web", OLD), ("copy", OLD)}),  # moved since: both stay
        (CONFIG, set(), {("apps/web", OLD), ("copy", OLD)}),  # an image ID
        (CHILD, {"all"}, {("apps/web", CHILD)}),
        (digest("other"), {"all"}, {("apps/web", CHILD)}),
        (f'["nas/apps/web@{INDEX}"]', {"all"}, {("apps/web", INDEX)}),
        ("", set(), set()),
    ],
)
def test_what_is_in_use(text: str, tags: set[str], manifests: set[tuple[str, str]]) -> None:
    found = in_use(stored(), [Use("container web on nas", text)])
    assert {tag.name for tag in found.tags} == tags
    assert set(found.manifests) == manifests
    assert {*found.tags.values(), *found.manifests.values()} <= {"container web on nas"}
