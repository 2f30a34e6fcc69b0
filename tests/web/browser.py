"""The page in Chromium: sign in and record each request, and ask axe-core about what is shown."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import docker
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.gateway.gateway import ACCOUNTS, NAME, Gateway

START = f"https://{NAME}/"


@dataclass
class Visit:
    """A page of a browser that has nothing of another visit. `requests` are all its requests, `faults` what it complains of."""

    gateway: Gateway
    page: Page
    requests: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def sign_in(self, role: str) -> None:
        """Sign in as the account of a role, and wait for the list."""
        self.page.goto(START)
        self.page.get_by_label("User").fill(ACCOUNTS[role])
        self.page.get_by_label("Password").fill(self.gateway.password(role))
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_label("Filter repositories").wait_for()

    def open(self, place: str) -> None:
        """Open a repository, or a tag of one (`apps/web:1`), and wait until it is shown."""
        self.page.evaluate("place => (location.hash = `#/${place}`)", place)
        self.page.get_by_role("heading", name=place, exact=True).wait_for()

    def tags(self) -> list[str]:
        """Return the tags in the table, in their order."""
        return self.page.locator("tbody th").all_inner_texts()

    def choose(self, *tags: str) -> None:
        for tag in tags:
            self.page.get_by_label(f"Choose {tag}", exact=True).check()

    def paths(self) -> list[str]:
        """Return the paths of all requests so far."""
        return [urlsplit(each).path for each in self.requests]

    def other_hosts(self) -> set[str | None]:
        return {urlsplit(each).hostname for each in self.requests} - {NAME}

    def axe(self) -> list[str]:
        """Return what axe-core finds, a line for each element."""
        found = Axe().run(self.page).response["violations"]
        return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]


@contextmanager
def chromium(gateway: Gateway, folder: Path) -> Iterator[Browser]:
    """Start Debian's Chromium, which finds the registry under its name; `folder` is for a script.

    It runs in the network of the registry's host: in that of this machine, where other tests start hosts meanwhile, it
    would end requests with ERR_NETWORK_CHANGED.
    """
    program = shutil.which("chromium")
    assert program, "apt-get install chromium, or python -m tests.bench prepare"
    process = docker.from_env().containers.get(gateway.host.name).attrs["State"]["Pid"]
    script = folder / "chromium"
    script.write_text(f'#!/bin/sh\nexec nsenter --net=/proc/{process}/ns/net {program} "$@"\n')
    script.chmod(0o700)
    names = f"--host-resolver-rules=MAP {NAME} {gateway.address}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=script, args=["--no-sandbox", names])
        try:
            yield browser
        finally:
            browser.close()


def visit(gateway: Gateway, browser: Browser, *, width: int = 1280, dark: bool = False) -> Visit:
    """Return a visit with a clipboard. The browser does not know the CA; handshakes have tests of their own."""
    context = browser.new_context(
        ignore_https_errors=True,
        viewport={"width": width, "height": 800},
        color_scheme="dark" if dark else "light",
        permissions=["clipboard-read", "clipboard-write"],
    )
    context.set_default_timeout(20_000)
    made = Visit(gateway, context.new_page())
    made.page.on("request", lambda request: made.requests.append(request.url))
    made.page.on("pageerror", lambda error: made.faults.append(str(error)))
    made.page.on(
        "console",
        lambda said: made.faults.append(said.text) if "Content Security Policy" in said.text else None,
    )
    return made
