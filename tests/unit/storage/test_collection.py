"""What a collection does next, in tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tasks.storage.collection import Plan, Times, Trash, plan
from tasks.storage.manifests import read_manifest
from tasks.storage.stored import Blob, Repository, Stored, Tag, Upload, blob_path
from tests.stored_folder import digest

NOW, OLD = 1_000_000, 100_000
HOUR = 3600
TIMES = Times(grace=HOUR, trash=24 * HOUR, under_way=15 * 60)
GONE = digest(b"gone")
TEXT = f'{{"layers": [{{"digest": "{digest(b"kept")}", "size": 4}}]}}'.encode()
MANIFEST = digest(TEXT)


def stored(linked: int = OLD, **fields: object) -> Stored:
    """Return a repository with a tag, and one in which a layer lost its image."""
    app = Repository(
        "app",
        {"v1": Tag("app", "v1", MANIFEST, OLD, {MANIFEST: OLD})},
        {MANIFEST: OLD},
        {digest(b"kept"): OLD},
    )
    blobs = {MANIFEST: Blob(len(TEXT), OLD), digest(b"kept"): Blob(4, OLD), GONE: Blob(4, OLD)}
    found = Stored(
        NOW,
        repositories={"app": app, "old": Repository("old", layers={GONE: linked})},
        blobs=blobs,
        manifests={MANIFEST: read_manifest(MANIFEST, TEXT)},
    )
    return replace(found, **fields)  # type: ignore[arg-type]


def at(time: int) -> Trash:
    return Trash({GONE: time})


def found(state: Stored, left: Trash = Trash(), **times: int) -> Plan:  # noqa: B008
    return plan(state, frozenset(), left, replace(TIMES, **times))


NOTHING = Plan()
CONDEMN, READY = Plan(condemn=frozenset({GONE})), Plan(ready=frozenset({GONE}))
SPARE = Plan(spare=frozenset({GONE}))


@pytest.mark.parametrize(
    ("state", "trash", "wanted"),
    [
        pytest.param(stored(), Trash(), CONDEMN, id="nothing needs it"),
        pytest.param(stored(linked=NOW - HOUR), Trash(), CONDEMN, id="linked before the grace"),
        pytest.param(stored(linked=NOW - HOUR + 1), Trash(), NOTHING, id="linked within the grace"),
        pytest.param(stored(), at(NOW - HOUR + 1), NOTHING, id="condemned within the grace"),
        pytest.param(stored(), at(NOW - HOUR), READY, id="condemned before it"),
        pytest.param(stored(linked=OLD + 1), at(OLD + 2), READY, id="linked before it was condemned"),
        pytest.param(
            stored(linked=OLD + 2),
            at(OLD + 2),
            Plan(condemn=frozenset({GONE}), spare=frozenset({GONE})),
            id="linked in the second in which it was condemned: from now on",
        ),
        pytest.param(stored(linked=NOW - 5), at(OLD), SPARE, id="linked a moment ago"),
        pytest.param(
            stored(uploads=(Upload("old", "1", 9, NOW - 5),)), at(OLD), SPARE, id="its repository gets an upload"
        ),
        pytest.param(
            stored(uploads=(Upload("old", "1", 9, NOW - 901),)), at(OLD + 9), READY, id="that upload was given up"
        ),
        pytest.param(
            stored(uploads=(Upload("app", "1", 9, NOW - 5),)), at(OLD + 9), READY, id="another repository gets one"
        ),
        pytest.param(stored(problems=("no",)), at(OLD), NOTHING, id="not all could be read"),
        pytest.param(stored(exists=False), at(OLD), NOTHING, id="the registry never wrote there"),
    ],
)  # fmt: skip
def test_what_is_condemned_and_ready(state: Stored, trash: Trash, wanted: Plan) -> None:
    assert found(state, trash) == wanted


def test_by_hand_without_a_grace_all_is_ready_at_once() -> None:
    assert found(stored(), grace=0) == Plan(condemn=frozenset({GONE}), ready=frozenset({GONE}))
    assert found(stored(linked=NOW - 899), grace=0) == NOTHING, "a push may be under way"


@pytest.mark.parametrize("broken", [None, digest(b"not there")], ids=["an empty link", "a missing manifest"])
def test_a_repository_with_a_tag_that_does_not_pull_is_left_alone(broken: str | None) -> None:
    state = stored()
    old = replace(state.repositories["old"], tags={"v1": Tag("old", "v1", broken, OLD)})
    assert found(replace(state, repositories={**state.repositories, "old": old}), at(OLD)) == SPARE


def test_a_link_that_is_being_written_keeps_what_it_is_to() -> None:
    state = stored()
    old = replace(state.repositories["old"], half_written=frozenset({GONE}))
    assert found(replace(state, repositories={**state.repositories, "old": old})) == NOTHING
    left = {name: blob for name, blob in state.blobs.items() if name != GONE}
    dangling = replace(state, blobs=left)
    path = f"repositories/old/_layers/{GONE.replace(':', '/')}/link"
    assert found(dangling) == Plan(unlink=(path,))
    assert found(replace(dangling, repositories={"old": old})).unlink == ()
    young = Repository("old", layers={GONE: NOW - 5})
    assert found(replace(dangling, repositories={"old": young})).unlink == ()


def test_a_manifest_that_is_kept_keeps_all_that_it_names() -> None:
    state = stored()
    untagged = replace(state.repositories["app"], tags={})
    state = replace(state, repositories={"app": untagged})
    gone = plan(state, frozenset(), Trash(), TIMES)
    assert gone.condemn == state.blobs.keys()
    kept = plan(state, frozenset({("app", MANIFEST)}), Trash(), TIMES)
    assert kept.condemn == {GONE}


def test_what_is_needed_or_was_linked_after_it_was_moved_is_given_back() -> None:
    state, moved = stored(), NOW - 60
    left = {name: blob for name, blob in state.blobs.items() if name in {MANIFEST, GONE}}
    lost = replace(state, blobs=left)
    kept = blob_path(digest(b"kept"))
    trash = Trash({}, {moved: frozenset({kept, blob_path(digest(b"other"))}), OLD: frozenset({kept})})
    assert found(lost, trash, trash=0).give_back == ((moved, kept),)
    assert found(lost, trash, trash=0).delete == (), "what it names may have to follow"
    assert found(state, trash).give_back == ()
    assert found(state, trash).delete == (OLD,)
    fresh = Repository("new", layers={digest(b"other"): moved})
    state = replace(state, repositories={**state.repositories, "new": fresh})
    assert found(state, trash).give_back == ((moved, blob_path(digest(b"other"))),)


def test_a_link_comes_back_with_what_it_is_to() -> None:
    state = stored()
    app = replace(state.repositories["app"], layers={})
    path = f"repositories/app/_layers/{digest(b'kept').replace(':', '/')}/link"
    trash = Trash({}, {NOW - 60: frozenset({path})})
    assert found(replace(state, repositories={"app": app}), trash).give_back == ((NOW - 60, path),)
    assert found(state, trash).give_back == ()


def test_links_of_tags_to_what_is_gone_go_and_the_present_one_stays() -> None:
    state = stored()
    app = state.repositories["app"]
    tag = replace(app.tags["v1"], former={MANIFEST: OLD, digest(b"before"): OLD})
    state = replace(state, repositories={"app": replace(app, tags={"v1": tag})})
    before = f"repositories/app/_manifests/tags/v1/index/{digest(b'before').replace(':', '/')}/link"
    assert found(state).unlink == (before,)


def test_data_that_was_uploaded_a_moment_ago_has_no_link_yet() -> None:
    state = stored()
    state = replace(state, repositories={"app": state.repositories["app"]})
    assert found(state) == CONDEMN
    young = {**state.blobs, GONE: Blob(4, NOW - 5)}
    assert found(replace(state, blobs=young)) == NOTHING


def names_gone(manifest: str) -> Stored:
    """Return a state in which a manifest names what another repository has a link to."""
    text = f'{{"annotations": {{"base": "{GONE}", "kept": "{digest(b"kept")}"}}}}'.encode()
    return stored(manifests={**stored().manifests, manifest: read_manifest(digest(text), text)})


def test_a_new_manifest_keeps_what_it_names_in_any_repository() -> None:
    young = digest(b"young")
    state = names_gone(young)
    for pushed, condemned in ((NOW - 5, {GONE} - {GONE}), (OLD, {GONE})):
        new = Repository("new", manifests={young: pushed})
        assert found(replace(state, repositories={**state.repositories, "new": new})).condemn == condemned


def test_a_link_to_what_a_tag_names_stays_though_it_leads_nowhere() -> None:
    state = names_gone(MANIFEST)
    left = {name: blob for name, blob in state.blobs.items() if name != GONE}
    assert found(replace(state, blobs=left)) == NOTHING
