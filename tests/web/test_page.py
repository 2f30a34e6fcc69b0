"""The web page in Chromium, on a deployed registry."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Browser, expect

from tasks.room.uses import Use
from tests.gateway.gateway import ACCOUNTS, NAME, Gateway
from tests.gateway.stored import Api
from tests.web.browser import START, Visit, visit
from tests.web.images import make_many, push_some, push_twins, tell_page

ON_ONE = pytest.mark.parametrize("gateway", ["2.8"], indirect=True)
"""Of what does not depend on the registry's version."""

TWINS, MOVED = "many/twins", "moved/twins"


@pytest.fixture(scope="module")
def images(gateway: Gateway) -> None:
    push_some(gateway)
    tell_page(
        gateway,
        [
            Use("pod web/shop-1 on k3s-1", f"{NAME}/apps/web:latest"),
            Use("container shop on nas", "x/apps/web:latest"),
        ],
    )


def sign_in(visitor: Visit, user: str, password: str) -> None:
    visitor.page.get_by_label("User").fill(user)
    visitor.page.get_by_label("Password").fill(password)
    visitor.page.get_by_role("button", name="Sign in").click()


@ON_ONE
@pytest.mark.usefixtures("images")
def test_a_wrong_password_is_told_and_nothing_is_shown(visitor: Visit) -> None:
    visitor.page.goto(START)
    for user in (ACCOUNTS["admin"], "nobody"):
        sign_in(visitor, user, "a-wrong-guess")
        expect(visitor.page.get_by_role("alert")).to_have_text("User or password is wrong.")
    assert visitor.page.locator("#tree").count() == 0
    assert {path for path in visitor.paths() if path.startswith("/v2/")} == {"/v2/"}


@ON_ONE
@pytest.mark.usefixtures("images")
def test_signing_out_forgets_everything(visitor: Visit) -> None:
    visitor.sign_in("pull")
    visitor.open("apps/web:1.10")
    visitor.page.get_by_role("button", name="Sign out").click()
    expect(visitor.page.get_by_label("Password")).to_have_value("")
    assert "apps/web" not in visitor.page.content()
    assert visitor.page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [
        0,
        0,
        "",
    ]
    asked = len(visitor.requests)
    visitor.page.reload()
    visitor.page.get_by_label("Password").wait_for()
    assert [path for path in visitor.paths()[asked:] if path.startswith("/v2/")] == []


@ON_ONE
@pytest.mark.usefixtures("images")
def test_the_filter_leaves_what_it_names(visitor: Visit) -> None:
    visitor.sign_in("pull")
    page = visitor.page
    expect(page.locator("#tree a")).to_have_text(["cart 1", "web 3", "debian 1", "nextcloud 1"])
    page.keyboard.press("/")
    page.keyboard.type("apps we")
    expect(page.locator("#tree a")).to_have_text(["web 3"])
    expect(page.get_by_text("1 of 4 repositories")).to_be_visible()
    visitor.open("apps/web")
    expect(page.locator("tbody th")).to_have_count(3)
    assert visitor.tags() == ["latest", "1.10", "1.9"]
    page.get_by_label("Filter tags").fill("1.1")
    assert visitor.tags() == ["1.10"]


@ON_ONE
@pytest.mark.usefixtures("images")
def test_a_tag_s_details_and_the_lines_to_copy(gateway: Gateway, visitor: Visit) -> None:
    visitor.sign_in("pull")
    visitor.open("base/debian:13")
    page, digest = visitor.page, Api(gateway).digest("base/debian", "13")
    expect(page.get_by_text("linux/amd64, linux/arm64, linux/arm/v7")).to_be_visible()
    page.get_by_label("Platform").select_option("linux/arm/v7")
    expect(page.locator(".parts tbody tr")).to_have_count(1)
    expect(page.locator(".parts")).to_contain_text("30 kB")
    page.get_by_text("History (2 steps").click()
    assert page.locator(".history li").all_inner_texts() == [
        "RUN /bin/sh -c make",
        "ADD file:0123 in / "[:-1],
    ]
    lines = {
        "Docker": f"docker pull {NAME}/base/debian:13",
        "Podman": f"podman pull {NAME}/base/debian:13",
        "crictl": f"crictl pull {NAME}/base/debian@{digest}",
        "Kubernetes": f"image: {NAME}/base/debian@{digest} # 13",
        "digest": digest,
    }
    for what, text in lines.items():
        page.get_by_role("button", name=f"Copy {what}", exact=True).click()
        expect(page.get_by_role("status").filter(has_text=f"Copied: {what}")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == text
    size = Api(gateway).size("base/debian", "13")
    assert size is not None
    assert page.get_by_text("Delete").count() == 0


@ON_ONE
@pytest.mark.usefixtures("images")
def test_what_a_run_saw_is_shown_and_what_is_in_use_is_not_deleted_unasked(
    gateway: Gateway, visitor: Visit
) -> None:
    visitor.sign_in("admin")
    visitor.open("apps/web")
    page = visitor.page
    used = page.locator("tr", has_text="latest")
    expect(used).to_contain_text("pod web/shop-1 on k3s-1, container shop on nas")
    expect(used.locator(".pushed")).to_contain_text(re.compile("this minute|ago"))
    expect(page.locator("tr", has_text="1.9").locator(".size")).to_have_text(re.compile(r"42[.]\d kB"))
    visitor.choose("latest")
    page.get_by_role("button", name="Delete 1 tag …").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("used by pod web/shop-1 on k3s-1, container shop on nas")
    expect(dialog).to_contain_text(
        re.compile(r"At least 42[.]\d kB become free when make make-room runs, and 1 day later")
    )
    expect(dialog.get_by_role("button", name="Delete 1 tag")).to_be_disabled()
    dialog.get_by_role("checkbox").check()
    expect(dialog.get_by_role("button", name="Delete 1 tag")).to_be_enabled()
    page.keyboard.press("Escape")
    assert "latest" in Api(gateway).tags("apps/web")


@pytest.fixture
def twins(gateway: Gateway) -> dict[str, str]:
    return push_twins(gateway, TWINS, 25, 4)


def test_chosen_tags_go_and_every_twin_stays(gateway: Gateway, visitor: Visit, twins: dict[str, str]) -> None:
    doomed = [tag for number, tag in enumerate(sorted(twins)) if number % 2]
    visitor.sign_in("admin")
    visitor.open(TWINS)
    expect(visitor.page.locator("tbody tr")).to_have_count(100)
    visitor.choose(*doomed)
    visitor.page.get_by_role("button", name="Delete 50 tags …").click()
    dialog = visitor.page.get_by_role("dialog")
    expect(dialog.get_by_role("heading")).to_have_text(f"Delete 50 tags of {TWINS}?")
    dialog.get_by_role("button", name="Delete 50 tags").click()
    expect(visitor.page.locator("tbody tr")).to_have_count(50, timeout=60_000)
    left = {tag: digest for tag, digest in twins.items() if tag not in doomed}
    api = Api(gateway)
    assert api.tags(TWINS) == sorted(left)
    assert {tag: api.digest(TWINS, tag) for tag in left} == left
    assert all(api.size(TWINS, tag) for tag in left)
    for tag in sorted(left)[:2]:
        gateway.crane("pull", f"pull {NAME}/{TWINS}:{tag} /tmp/{tag}.tar")


def test_a_tag_that_was_pushed_again_meanwhile_stays(gateway: Gateway, visitor: Visit) -> None:
    before = push_twins(gateway, MOVED, 2, 2)
    visitor.sign_in("admin")
    visitor.open(MOVED)
    row = visitor.page.locator("tr", has_text="v0-a")
    expect(row.locator("code")).to_have_text(before["v0-a"][7:19])
    gateway.crane("push", f"tag {NAME}/{MOVED}:v1-a v0-a")
    visitor.choose("v0-a", "v1-b")
    visitor.page.get_by_role("button", name="Delete 2 tags …").click()
    dialog = visitor.page.get_by_role("dialog")
    expect(dialog).to_contain_text("v1-b same image as")
    dialog.get_by_role("button", name="Delete 2 tags").click()
    expect(dialog).to_contain_text("v0-a was pushed again meanwhile, and stays.")
    dialog.get_by_role("button", name="Close").click()
    expect(visitor.page.locator("tr", has_text="v1-b")).to_have_count(0)
    assert Api(gateway).digest(MOVED, "v0-a") == before["v1-a"]
    assert Api(gateway).digest(MOVED, "v1-a") == before["v1-a"]


@ON_ONE
@pytest.mark.parametrize("role", ["pull", "push"])
@pytest.mark.usefixtures("images")
def test_only_admins_see_that_anything_can_be_deleted(visitor: Visit, role: str) -> None:
    visitor.sign_in(role)
    for place in ("apps/web", "apps/web:1.9"):
        visitor.open(place)
        visitor.page.locator("td").first.wait_for()
        assert visitor.page.get_by_role("button", name="Delete").count() == 0
        assert visitor.page.get_by_role("checkbox").count() == 0


@ON_ONE
@pytest.mark.usefixtures("images")
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (375, False), (375, True)])
def test_axe_finds_nothing(gateway: Gateway, browser: Browser, width: int, dark: bool) -> None:
    visitor = visit(gateway, browser, width=width, dark=dark)
    visitor.page.goto(START)
    visitor.page.get_by_label("User").wait_for()
    found = {"sign in": visitor.axe()}
    visitor.sign_in("admin")
    found["overview"] = visitor.axe()
    visitor.open("apps/web")
    visitor.choose("1.9", "latest")
    found["repository"] = visitor.axe()
    visitor.page.get_by_role("button", name="Delete 2 tags …").click()
    found["dialog"] = visitor.axe()
    visitor.page.keyboard.press("Escape")
    visitor.open("base/debian:13")
    visitor.page.get_by_text("History").click()
    found["tag"] = visitor.axe()
    visitor.page.get_by_role("link", name="Connect a machine").click()
    visitor.page.get_by_role("button", name="Copy fingerprint").wait_for()
    for each in visitor.page.locator("main summary").all()[1:]:
        each.click()
    found["connect"] = visitor.axe()
    wide = visitor.page.evaluate("document.documentElement.scrollWidth")
    visitor.page.context.close()
    assert {place: lines for place, lines in found.items() if lines} == {}
    assert wide <= width


@ON_ONE
@pytest.mark.usefixtures("images")
def test_the_keyboard_is_enough(gateway: Gateway, visitor: Visit) -> None:
    """Sign in, find a tag, choose it, delete it, and sign out."""
    gateway.crane("push", f"tag {NAME}/apps/web:latest doomed")
    page, keys = visitor.page, visitor.page.keyboard
    page.goto(START)
    page.get_by_label("User").wait_for()
    keys.type(ACCOUNTS["admin"])
    keys.press("Tab")
    keys.type(gateway.password("admin"))
    keys.press("Enter")
    page.get_by_label("Filter repositories").wait_for()
    keys.press("/")
    keys.type("web")
    tab_to(visitor, page.get_by_role("link", name="web"))
    keys.press("Enter")
    page.locator("tr", has_text="doomed").wait_for()
    tab_to(visitor, page.get_by_label("Choose doomed"))
    keys.press("Space")
    tab_to(visitor, page.get_by_role("button", name="Delete 1 tag …"), back=True)
    keys.press("Enter")
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    keys.press("Tab")
    keys.press("Enter")
    expect(page.locator("tr", has_text="doomed")).to_have_count(0)
    assert "doomed" not in Api(gateway).tags("apps/web")
    tab_to(visitor, page.get_by_role("button", name="Sign out"), back=True)
    keys.press("Enter")
    expect(page.get_by_label("User")).to_be_focused()


def tab_to(visitor: Visit, wanted: object, *, back: bool = False) -> None:
    for _ in range(80):
        if wanted.evaluate("each => each === document.activeElement"):  # type: ignore[attr-defined]
            return
        visitor.page.keyboard.press("Shift+Tab" if back else "Tab")
    raise AssertionError("the keyboard does not get there")


@ON_ONE
def test_the_way_in_for_other_machines_needs_no_login(gateway: Gateway, visitor: Visit) -> None:
    visitor.page.goto(f"{START}#connect")
    fingerprint = gateway.host.run(
        f"openssl x509 -in /etc/docker/certs.d/{NAME}/ca.crt -noout -fingerprint -sha256"
    ).stdout.strip()
    expect(visitor.page.get_by_text(fingerprint.partition("=")[2])).to_be_visible()
    with visitor.page.expect_download() as download:
        visitor.page.get_by_role("link", name="Download ca.crt").click()
    assert download.value.path().read_text() == gateway.ca.read_text()


@ON_ONE
def test_200_repositories_with_100_tags_are_listed_in_a_second(gateway: Gateway, visitor: Visit) -> None:
    """The last one here: it leaves many repositories."""
    make_many(gateway, 200, 100)
    visitor.sign_in("admin")
    visitor.page.get_by_role("button", name="Sign out").click()
    visitor.page.get_by_label("User").fill(ACCOUNTS["admin"])
    visitor.page.get_by_label("Password").fill(gateway.password("admin"))
    asked, began = len(visitor.requests), time.monotonic()
    visitor.page.get_by_role("button", name="Sign in").click()
    visitor.page.get_by_label("Filter repositories").wait_for()
    took, requests = time.monotonic() - began, visitor.paths()[asked:]
    print(f"200 repositories: {took:.2f} s, {requests}")
    assert visitor.page.locator("#tree a").count() >= 200
    assert took < 1
    assert sorted(requests[:3]) == ["/v2/", "/v2/_catalog", "/web/about.json"]
    visitor.open("many/r7")
    expect(visitor.page.locator("tbody tr")).to_have_count(100)
