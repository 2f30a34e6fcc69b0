"""Of which accounts a run says at its end that their passwords were typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.model.accounts import generate
from tasks.model.settings import Configuration, Settings
from tasks.run import Run
from tasks.state import Store
from tasks.summary import typed_passwords

ACCOUNTS = {"admin": "admin", "ci": "push", "cluster": "pull", "pods": "pull"}


@pytest.mark.parametrize(
    ("login", "pull_secret", "typed", "named"),
    [
        ("cluster", "cluster", {"admin", "ci", "cluster", "pods"}, ["cluster"]),
        ("cluster", "pods", {"cluster", "pods"}, ["cluster", "pods"]),
        ("pods", "cluster", {"pods"}, ["pods"]),
        ("cluster", "cluster", {"admin", "ci", "pods"}, []),
        ("ci", "admin", {"admin", "ci"}, []),
        ("cluster", "cluster", set(), []),
    ],
)
def test_those_that_machines_pull_with_are_named(
    login: str, pull_secret: str, typed: set[str], named: list[str]
) -> None:
    keys = {"accounts": ACCOUNTS, "login_account": login, "pull_secret_account": pull_secret}
    settings = Settings.model_validate({f"registry_{key}": value for key, value in keys.items()})
    run = Run(Configuration(settings, {}, "nas"), Store(Path("/nowhere")), "lab", dry=False)
    run.passwords = {name: "typed by me" if name in typed else generate() for name in ACCOUNTS}
    lines = typed_passwords(run)
    assert [line.split()[2] for line in lines] == named
    assert not any(password in line for line in lines for password in run.passwords.values())
    run.passwords = {}  # where the run ended before it read them
    assert typed_passwords(run) == []
