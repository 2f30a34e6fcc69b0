"""The web page: it is there, with the CA that is to be trusted; what it shows of the registry is not without a login."""

from __future__ import annotations

from tasks.certificates.rollover import Authorities
from tasks.registry import web
from tasks.run.context import ROOT
from tasks.settings.load import Settings
from tests.verify.client import Client


def test_the_page_is_as_it_should_be(client: Client, settings: Settings, authorities: Authorities) -> None:
    files = {
        f"/web/{name}": (ROOT / "files/web" / name).read_text() for name in web.FILES if name != web.START
    }
    files |= {"/": (ROOT / "files/web" / web.START).read_text(), f"/web/{web.CA}": authorities.ca_bundle}
    answers = {path: client.request("GET", path, None) for path in files}
    if settings.registry_web:
        off = [
            path
            for path, answer in answers.items()
            if (answer.status_code, answer.text) != (200, files[path])
        ]
        assert not off, f"{', '.join(off)}: not as this project has it; run make deploy"
    else:
        there = [path for path, answer in answers.items() if answer.status_code != 401]
        assert not there, f"{', '.join(there)}: there though registry_web is off; run make deploy"


def test_without_a_login_nothing_else_is_shown(client: Client) -> None:
    status = {
        name: client.request("GET", f"/web/{name}", None).status_code for name in web.locations()["shown"]
    }
    shown = [f"/web/{name} ({code})" for name, code in status.items() if code != 401]
    assert not shown, f"{', '.join(shown)} should answer 401 without a login; run make deploy"
