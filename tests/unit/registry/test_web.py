"""The web page: its files on the registry host, what it is told, and what the gateway's configuration has of it."""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tasks.certificates import ca
from tasks.certificates.rollover import Authorities, Successor
from tasks.registry import containers, web
from tasks.registry import desired as layout
from tasks.registry import plan as registry
from tasks.remote.files import NEW_SUFFIX, File, Observed
from tasks.remote.steps import Step
from tasks.run.context import ROOT
from tasks.settings.load import Settings
from tests.unit.registry.test_plan import IMAGES, RECORD, SECRETS, STARTED, TEMPLATES, converged, texts

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
PAIR = ca.make_authority(["registry.homelab.local"], 3650, NOW)
OTHER = ca.make_authority(["registry.homelab.local"], 3650, NOW)
WEB = f"{layout.FOLDER}/{web.FOLDER}"
SHOWN = f"{layout.FOLDER}/{web.SHOWN}"


def page(authorities: Authorities = Authorities(PAIR), **settings: Any) -> web.Page | None:  # noqa: B008
    return web.page(Settings.model_validate(settings), authorities, NOW + dt.timedelta(397), ROOT / "files")


def desire(**settings: Any) -> layout.Desired:
    given = Settings.model_validate(settings)
    return layout.desire(given, SECRETS, IMAGES, TEMPLATES, RECORD, page=page(**settings))


def found_on(desired: layout.Desired) -> registry.RegistryHost:
    found = converged(desired)
    there = {
        each.path: Observed("regular file", each.mode, each.owner, each.group, STARTED, 1, each.sha256)
        for each in desired.page
    }
    return replace(found, paths={**found.paths, **there})


def test_the_page_is_at_most_60_kb() -> None:
    assert sum(len((ROOT / "files/web" / name).read_bytes()) for name in web.FILES) <= 60_000
    assert {path.name for path in (ROOT / "files/web").iterdir()} == set(web.FILES)


def test_no_file_of_the_page_names_another_host_or_has_script_or_style_in_its_text() -> None:
    for name in web.FILES:
        text = (ROOT / "files/web" / name).read_text().replace("http://www.w3.org/2000/svg", "")
        assert set(re.findall(r"https?://[\w.]+", text)) == set(), name
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|\beval\b|localStorage|sessionStorage", text
        ), name
    start = (ROOT / "files/web" / web.START).read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", start)
    assert {each.removeprefix("/web/") for each in re.findall(r'(?:src|href)="(/[^"]+)"', start)} <= set(
        web.FILES
    )


def test_a_new_page_is_written_at_once_and_a_second_run_changes_nothing() -> None:
    desired, before = desire(), desire(registry_web=False)
    assert texts(desired, converged(before)) == [
        f"make {WEB}: it is missing",
        f"make {SHOWN}: it is missing",
        "write /etc/homelab-registry/gateway/nginx.conf: its content is not as it should be",
        "write 13 files of the web page: they are missing",
        "recreate the container homelab-registry-gateway: it was started in another way",
    ]
    assert texts(desired, found_on(desired)) == []


def test_a_file_that_is_not_as_it_should_be_is_written_alone_and_restarts_nothing() -> None:
    desired = desire()
    found = found_on(desired)
    style = found.paths[f"{WEB}/style.css"]
    assert style is not None
    changed = replace(found, paths={**found.paths, f"{WEB}/style.css": replace(style, sha256="0" * 64)})
    assert texts(desired, changed) == [
        "write web/style.css of the web page: its content is not as it should be"
    ]


def test_without_the_page_its_files_go() -> None:
    assert texts(desire(registry_web=False), found_on(desire()))[-2:] == [
        "remove the web page's files: registry_web is off",
        "recreate the container homelab-registry-gateway: it was started in another way",
    ]
    (step,) = web.removal(layout.FOLDER, {WEB: object(), SHOWN: None})
    assert step.script == f"rm -rf {WEB}"
    assert web.removal(layout.FOLDER, {WEB: None, SHOWN: None}) == []


def write(folder: Path, contents: dict[str, str]) -> Step:
    owner = folder.stat()
    wanted = [
        File(f"{folder}/{name}", "0640", owner.st_uid, owner.st_gid, text) for name, text in contents.items()
    ]
    (step,) = web.place(str(folder), wanted, dict.fromkeys(each.path for each in wanted))
    return step


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_the_step_writes_every_file_whole(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "shown").mkdir()
    (tmp_path / "web/a.js").write_text("before")
    new = {"web/a.js": "after\n", "shown/b.json": "\N{RIGHT SINGLE QUOTATION MARK}" * 30_000}
    step = write(tmp_path, new)
    subprocess.run(["sh", "-c", step.script], input=f"{step.stdin}\n", text=True, check=True)
    assert contents(tmp_path) == new
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in new} == {0o640}


@pytest.mark.parametrize("share", [0.0, 0.5, 0.95])
def test_a_step_that_gets_only_a_part_writes_nothing(tmp_path: Path, share: float) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web/a.js").write_text("before")
    step = write(tmp_path, {"web/a.js": "after", "web/b.css": "".join(map(chr, range(0x4E00, 0x5E00)))})
    sent = str(step.stdin)[: int(len(str(step.stdin)) * share)]
    ran = subprocess.run(["sh", "-c", step.script], input=sent, text=True, check=False, capture_output=True)
    assert ran.returncode != 0
    assert contents(tmp_path) == {"web/a.js": "before"}


def test_what_a_killed_run_left_is_looked_for() -> None:
    paths = layout.paths(Settings())
    assert {f"{WEB}/.{name}{NEW_SUFFIX}" for name in web.PUBLIC} < set(paths)


def test_during_a_rollover_both_cas_are_there_to_download() -> None:
    both = page(Authorities(PAIR, Successor(OTHER), "overlap"))
    assert both is not None
    assert both.public["ca.crt"] == PAIR.certificate_pem + OTHER.certificate_pem


def test_what_the_page_is_told_holds_no_secret() -> None:
    told = page(registry_port=5443, registry_storage_limit="30GB", registry_caches=["docker.io"])
    assert told is not None
    assert json.loads(told.about) == {
        "name": "registry.homelab.local:5443",
        "certificate_ends": "2027-04-02T00:00:00+00:00",
        "ca_ends": PAIR.certificate.not_valid_after_utc.isoformat(),
        "deletes": True,
        "limit": 30_000_000_000,
        "warn": 80,
        "trash_days": 1,
        "untagged_days": 7,
        "caches": ["docker.io"],
        "cache_name": "mirror.homelab.local",
    }


def test_the_gateway_sends_anyone_only_the_page_and_the_ca() -> None:
    config = layout._contents(Settings(), SECRETS, TEMPLATES)[layout.GATEWAY_CONFIG]
    (public,) = re.findall(r"/web/\(\?<public>([^)]*)\)", config)
    assert set(public.replace("[.]", ".").split("|")) | {web.START} == set(web.PUBLIC)
    private = re.findall(r'"~\^(/web/\w+(?:\[[.]\]json)?)\\z" (\S+);', config)
    assert private == [
        ("/web/about[.]json", "/shown/about.json"),
        ("/web/index[.]json", "/shown/index.json"),
        ("/web/used", "/limit/figures"),
    ]
    assert containers.GATEWAY_CONFIG not in public
