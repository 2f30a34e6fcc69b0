"""What the judges say of the texts that a merger made, against what they said before.

Each function returns what they read otherwise than they should: none, if all is well.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from functools import cache
from typing import Any

from hypothesis import strategies as st

from tasks.accounts import logins
from tasks.accounts.logins import Login
from tasks.clients.mirrors import Mirror
from tasks.cluster_nodes.runtimes import registries_conf, registries_mirrors, registries_yaml
from tasks.cluster_nodes.runtimes.containerd_config import CRI_2, IMAGES
from tasks.remote import toml_edit
from tasks.settings.caches import Upstream
from tests.bench.recipes import Recipe
from tests.mergers import judges, registries_conf_texts, toml_texts
from tests.mergers.outcome import outcome
from tests.mergers.shapes import CA, NAME

CACHES = Mirror(
    "mirror.example:5443",
    [Upstream(name=name, registry=f"https://{name}") for name in ("quay.io", "registry.k8s.io")],
)
LOGIN = Login("cluster", "p\"w\\ é: #'")
PATH_LINE = re.compile(
    rf"""(\[plugins\.["'](?:{re.escape(IMAGES)}|{re.escape(CRI_2)})["']\.registry\]\n +config_path = )(["']).*\2$""",
    re.MULTILINE,
)
PRESENT = st.sampled_from([None, "", "/a:/b"])


@cache
def configs(version: int, plugin: str, count: int) -> list[str]:
    """Return so many different files of a version of containerd's configuration: the same for each containerd."""
    return judges.drawn(
        PRESENT.flatmap(lambda present: toml_texts.files(plugin, present, [f"version = {version}"])), count
    )


def misread_by_containerd(recipe: Recipe, plugin: str, texts: Sequence[str]) -> list[Any]:
    """A host's containerd has to read each text with our `config_path` as before, and with that."""
    given = plugin if plugin == IMAGES else CRI_2
    merged = [
        toml_edit.put(text, ("plugins", given, "registry", "config_path"), "/certs", "/f") for text in texts
    ]
    said = judges.asked(recipe, judges.DUMP, [*texts, *merged])
    wrong = []
    accepted = 0
    for text, after, old, new in zip(texts, merged, said[: len(texts)], said[len(texts) :], strict=True):
        accepted += old is not None
        if (old is None) != (new is None) or (old and new and not _as_before(old, new)):
            wrong.append((text, after))
    if accepted < len(texts) * 0.7:
        raise AssertionError(f"of {len(texts)} texts only {accepted} were read before")
    return wrong


def _as_before(old: str, new: str) -> bool:
    """Return whether a dump is the former one with our `config_path` in the plugin that pulls."""
    # tomllib needs as long for a dump as containerd does: it is asked only if the text is not the expected one.
    return PATH_LINE.sub(r"\1\2/certs\2", old) == new or _with_path(old) == tomllib.loads(new)


def _with_path(dump: str) -> dict[str, Any]:
    says = tomllib.loads(dump)
    plugin = IMAGES if IMAGES in says["plugins"] else CRI_2
    says["plugins"][plugin]["registry"]["config_path"] = "/certs"
    return says


def misread_by_k3s(texts: Sequence[str]) -> list[Any]:
    """K3s has to read each text with our entry as before, and with that; likewise with a login."""
    read = judges.reader("registries.yaml")
    wrong, accepted = [], 0
    for login in (None, LOGIN):
        merged = [outcome(registries_yaml.merge, text, [NAME], CA, login, "/r.yaml") for text in texts]
        kept = [(text, after) for text, after in zip(texts, merged, strict=True) if isinstance(after, str)]
        said = read([text for pair in kept for text in pair])
        for (text, after), old, new in zip(kept, said[::2], said[1::2], strict=True):
            accepted += old is not None
            if (old and _with_entry(old, login)) != new:
                wrong.append((text, after, old, new))
    if accepted < len(texts) * 0.7:
        raise AssertionError(f"of {len(texts)} texts only {accepted} were read before")
    return wrong


def _with_entry(said: dict[str, Any], login: Login | None) -> dict[str, Any]:
    entry = (said["configs"] or {}).get(NAME) or {"auth": None, "tls": None}
    none = {"ca_file": "", "cert_file": "", "key_file": "", "insecure_skip_verify": False}
    entry = {**entry, "tls": {**(entry["tls"] or none), "ca_file": CA}}
    if login:
        entry["auth"] = {
            "username": login.account,
            "password": login.password,
            "auth": "",
            "identitytoken": "",
        }
    return {**said, "configs": {**(said["configs"] or {}), NAME: entry}}


def mirrors_misread_by_k3s(texts: Sequence[str]) -> list[Any]:
    """K3s has to read each text with the caches as before, and with these; and taken back, as before."""
    read = judges.reader("registries.yaml")
    merged = [outcome(registries_mirrors.merge, text, CACHES, CA, "/r.yaml") for text in texts]
    kept = [(text, after) for text, after in zip(texts, merged, strict=True) if isinstance(after, str)]
    said = read(
        [
            each
            for text, after in kept
            for each in (text, after, registries_mirrors.merge(after, None, CA, "/r.yaml"))
        ]
    )
    wrong, accepted = [], 0
    for (text, after), old, new, back in zip(kept, said[::3], said[1::3], said[2::3], strict=True):
        accepted += old is not None
        if (old and _with_caches(old)) != new or _sections(back) != _sections(old):
            wrong.append((text, after, old, new, back))
    if accepted < len(texts) * 0.5:
        raise AssertionError(f"of {len(texts)} texts only {accepted} were read before")
    return wrong


def _with_caches(said: dict[str, Any]) -> dict[str, Any]:
    tls = {"ca_file": CA, "cert_file": "", "key_file": "", "insecure_skip_verify": False}
    ours = {name: {"endpoint": [CACHES.url], "rewrite": None} for name in CACHES.names}
    return {
        **said,
        "mirrors": {**(said["mirrors"] or {}), **ours},
        "configs": {**(said["configs"] or {}), CACHES.endpoint: {"auth": None, "tls": tls}},
    }


def _sections(said: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what was read, an empty section like none."""
    return said and {key: value or None for key, value in said.items()}


def misread_by_docker(texts: Sequence[str]) -> list[Any]:
    """Docker's client has to read each text with our login as before, and with that.

    Where a helper keeps the logins, the project adds none to the file, and Docker must name the same helper.
    """
    read = judges.reader("config.json")
    merged = [logins.merge(text, [NAME], LOGIN, "/c.json") for text in texts]
    helpers = [logins.helper_for(text, NAME, "/c.json") for text in texts]
    said = read([*texts, *merged])
    wrong, accepted = [], 0
    for text, after, helper, old, new in zip(
        texts, merged, helpers, said[: len(texts)], said[len(texts) :], strict=True
    ):
        if old is None:  # an entry of ours that was broken may have been the reason
            continue
        accepted += 1
        named = (old.get("credHelpers") or {}).get(NAME, old.get("credsStore", ""))
        if (
            new is None
            or {**old, "auths": {**old["auths"], NAME: new["auths"][NAME]}} != new
            or (new["auths"][NAME]["username"], new["auths"][NAME]["password"])
            != (LOGIN.account, LOGIN.password)
            or named != (helper.name if helper else "")
        ):
            wrong.append((text, after, old, new))
    if accepted < len(texts) * 0.5:
        raise AssertionError(f"of {len(texts)} texts only {accepted} were read before")
    return wrong


def misread_by_skopeo(recipe: Recipe, texts: Sequence[str]) -> list[Any]:
    """Where a host's Skopeo pulls from elsewhere, or without a check, the project must say so, and only there."""
    said = judges.asked(recipe, judges.PULL, texts)
    wrong, accepted = [], 0
    for text, answer in zip(texts, said, strict=True):
        assert answer
        if ": loading registries configuration" in answer:
            continue
        accepted += 1
        fine = f"GET http://{NAME}/" not in answer
        free = registries_conf.entry_for(registries_conf_texts.OTHER, {registries_conf.CONFIG: text}) is None
        for each in answer.split("== ")[1:]:
            image = each.partition("\n")[0]
            tried = re.findall(r'Trying to access \\"([^/]*)/', each)
            if image.startswith(NAME):
                fine = fine and tried == [NAME] and "GET http://" not in each and "GET https://" in each
            elif free and (tried != [image.partition("/")[0]] or "GET http://" in each):
                wrong.append((text, "no entry is about it, so a cache may have one", each))
        verdict = outcome(registries_conf.check, {registries_conf.CONFIG: text}, [NAME])
        if fine != (verdict is None):
            wrong.append((text, str(verdict), answer))
    if accepted < len(texts) * 0.7:
        raise AssertionError(f"of {len(texts)} texts only {accepted} were read")
    return wrong
