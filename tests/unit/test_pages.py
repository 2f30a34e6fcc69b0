"""Every command of README.md, SECURITY.md and docs/ is run by a test, or marked on its page as not tried."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.settings.load import Settings
from tests import pages
from tests.pages import MARK, ROOT, everywhere, same
from tests.unit.cli.test_makefile import VERBS_OF_PAGES

MENTIONED = {
    # Named, and not to be pasted as they stand.
    "age -R", 'backup_hosts = ["pi"]', "ctr plugins ls", "docker build", "docker inspect", "docker login", "docker push", "docker run", "docker update",
    "git clean", "git clean -fdx", "htpasswd -B", "k3s kubectl", "loginctl enable-linger", "microk8s kubectl",
    "sudo docker login",
    # What runs the tests, and what measures.
    "make test-all", "make bench",
    # What programs say.
    "knows nothing of", "no such host", "not taken", "unknown error",
}  # fmt: skip
EXPLAINED = f"What is marked *{MARK}* no test of the project has run; all other commands are run by them."


def settings_to_paste() -> Iterator[str]:
    """Yield the assignments of settings, each whole."""
    for _, each in everywhere():
        if any(command.startswith("registry_") for command in each.commands):
            assigned = (ast.get_source_segment(each.text, node) or "" for node in ast.parse(each.text).body)
            yield from (text for text in assigned if text.startswith("registry_"))


SETTINGS = sorted({*settings_to_paste()})


def taken_by_tests() -> Iterator[str]:
    """Yield the commands that tests take from the pages, by their calls of `tests.pages`."""
    texts = (path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    for node in (node for text in texts if "pages." in text for node in ast.walk(ast.parse(text))):
        match node:
            case ast.Call(ast.Attribute(ast.Name("pages"), "line" | "block" | "in_text" as name), arguments):
                page, beginning = map(ast.literal_eval, arguments)
                text = getattr(pages, name)(page, beginning)
                yield from (text, *text.splitlines())


@pytest.fixture(scope="module")
def run() -> set[str]:
    settings = [line for text in SETTINGS for line in text.splitlines()]
    return {same(command) for command in (*taken_by_tests(), *VERBS_OF_PAGES, *settings)}


def test_every_command_is_run_by_a_test_or_marked(run: set[str]) -> None:
    assert [
        (page, command)
        for page, each in everywhere()
        for command in each.commands
        if not each.marked and same(command) not in run | MENTIONED
    ] == []


def test_nothing_is_marked_that_a_test_runs(run: set[str]) -> None:
    assert [
        (page, each.text) for page, each in everywhere() if each.marked and {*map(same, each.commands)} <= run
    ] == []


def test_a_page_with_marks_explains_them_at_its_head() -> None:
    for page in {page for page, each in everywhere() if each.marked}:
        head = (ROOT / page).read_text().partition("\n## ")[0]
        assert EXPLAINED in " ".join(head.split()), page


@pytest.mark.parametrize("text", SETTINGS)
def test_a_setting_to_paste_is_accepted(text: str) -> None:
    key, _, value = text.partition(" = ")
    assert getattr(Settings(**{key: ast.literal_eval(value)}), key)


def test_the_commands_of_git(tmp_path: Path) -> None:
    pull, log = pages.in_text("README.md", "git pull"), pages.in_text("SECURITY.md", "git log ")
    commit = "git -C origin -c user.name=Ann -c user.email=ann@example.org commit -q --allow-empty -m"
    script = f"git init -q origin; {commit} one; git clone -q origin clone; {commit} two; cd clone; {pull} -q; {log}"
    ran = subprocess.run(["sh", "-ec", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout == "Ann <ann@example.org>\n" * 2


def test_what_is_only_mentioned_is_there() -> None:
    assert {command for _, each in everywhere() for command in each.commands} >= MENTIONED
