"""What a run reports at its end on custom passwords and on the certificate authority."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from tasks.accounts.passwords import generate
from tasks.certificates import ca, name_constraints, rollover
from tasks.cli.summary import authorities, custom_passwords
from tasks.registry.context import RegistryContext
from tasks.run.context import Run
from tasks.settings.load import Configuration, Settings
from tasks.state.store import Store

ACCOUNTS = {"admin": "admin", "ci": "push", "cluster": "pull", "pods": "pull"}


@pytest.mark.parametrize(
    ("login", "pull_secret", "custom", "named"),
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
    login: str, pull_secret: str, custom: set[str], named: list[str]
) -> None:
    keys = {"accounts": ACCOUNTS, "login_account": login, "pull_secret_account": pull_secret}
    settings = Settings.model_validate({f"registry_{key}": value for key, value in keys.items()})
    run = Run(Configuration(settings, {}, "nas"), Store(Path("/nowhere")), "lab", dry=False)
    registry = run.part(RegistryContext)
    registry.decide(passwords={name: "my own" if name in custom else generate() for name in ACCOUNTS})
    lines = custom_passwords(run)
    assert [line.split()[2] for line in lines] == named
    assert not any(password in line for line in lines for password in registry.desired.passwords.values())
    registry.decide(passwords={})  # where the run ended before it read them
    assert custom_passwords(run) == []


def test_a_rollover_and_the_end_of_an_authority_are_said_in_every_run() -> None:
    now = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    run = Run(Configuration(Settings(), {}, "nas"), Store(Path("/nowhere")), "lab", dry=False)
    assert authorities(run, now) == []  # where the run ended before it read them
    registry = run.part(RegistryContext)
    old = ca.make_authority(["registry.homelab.local"], 400, now)
    registry.authorities = rollover.stage_at(old, None, 30, now)
    assert authorities(run, now) == []
    later = now + dt.timedelta(days=100)
    (line,) = authorities(run, later)
    assert "The certificate authority expires on 2027-04-05 (300 days left): run make rotate-ca" in line
    new = rollover.make_successor(old, ["registry.homelab.local"], 3650, later)
    registry.authorities = rollover.stage_at(old, new, 30, later)
    (line,) = authorities(run, later)
    assert "The new certificate authority is not in use yet" in line
    names = {"registry_extra_names": ("registry.example.org",)}
    run.configuration = Configuration(Settings.model_validate(names), {}, "nas")
    assert (
        "before the old certificate authority is retired: registry.example.org" in authorities(run, later)[1]
    )


def test_an_authority_that_permits_the_names_of_others_is_said_with_its_cure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    settings = Settings.model_validate({"registry_hostname": "myhome.duckdns.org"})
    run = Run(Configuration(settings, {}, "nas"), Store(Path("/nowhere")), "lab", dry=False)
    monkeypatch.setattr(name_constraints, "permitted_domain", lambda name: name.partition(".")[2])
    wide = ca.make_authority(settings.server_names, 3650, now)
    monkeypatch.undo()
    registry = run.part(RegistryContext)
    registry.authorities = rollover.stage_at(wide, None, 30, now)
    (line,) = authorities(run, now)
    assert (
        "The certificate authority permits all names below duckdns.org, where others have names too: " in line
    )
    assert "make rotate-ca replaces it" in line
    successor = rollover.make_successor(wide, settings.server_names, 3650, now)
    registry.authorities = rollover.stage_at(wide, successor, 30, now)
    assert not any("duckdns" in line for line in authorities(run, now))
