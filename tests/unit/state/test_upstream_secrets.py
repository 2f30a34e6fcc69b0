"""The access tokens of accounts at registries in the internet: a person puts them into the state."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.state.files import StateError
from tasks.state.store import Store


def test_a_token_is_the_text_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "upstream").mkdir()
    (tmp_path / "upstream/docker.io").write_text("dckr_pat_x\n")
    store = Store(tmp_path)
    assert store.read_upstream_secrets({"docker.io": "me"}) == {"docker.io": "dckr_pat_x"}
    assert store.read_upstream_secrets({}) == {}
    store.check_folder()


@pytest.mark.parametrize("content", [None, b"", b"two words", b"line\nline"])
def test_a_token_that_is_missing_or_none_is_told_with_its_file(tmp_path: Path, content: bytes | None) -> None:
    (tmp_path / "upstream").mkdir()
    path = tmp_path / "upstream/docker.io"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StateError) as refused:
        Store(tmp_path).read_upstream_secrets({"docker.io": "me"})
    assert str(path) in refused.value.problem
    assert "of the account me at docker.io" in refused.value.problem
    assert "mode 0600" in refused.value.remedy
    assert "line" not in f"{refused.value.problem}{refused.value.remedy}"
