"""The questions of `make init` on a terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from pydantic import ValidationError

from tasks.init import hosts as new_hosts
from tasks.init.hosts import NewHost
from tasks.init.probe import Found, describe
from tasks.settings.groups import GROUPS
from tasks.settings.schema import RunWideKeys

LETTERS = {"r": "registry", "d": "docker_hosts", "n": "cluster_nodes", "c": "cluster_control"}

ABOUT_NAMES = (
    "The registry's name begins every image's name, so choose it for good. Names in .local belong to multicast DNS "
    "(RFC 6762): registry.home.arpa (RFC 8375), or a name in a domain of your own, is better."
)

KINDS = "r = the registry, d = Docker host, n = cluster node, c = has kubectl; several: rd"

ABOUT_KEYS = "SSH key of the hosts (a file; empty: those that ssh finds by itself)"

Ask = Callable[[str], str]
"""Shows a text and returns the line that was typed."""


def until_right(ask: Ask, question: str, default: str, check: Callable[[str], object]) -> str:
    """Return an answer that `check` accepts; what it says of another (`ValueError`) is shown before the next try."""
    prompt = f"{question} [{default}]: " if default else f"{question}: "
    said = ""
    while True:
        answer = ask(said + prompt).strip() or default
        try:
            check(answer)
        except ValueError as error:
            said = f"  {error}\n"
        else:
            return answer


def check_registry_name(name: str) -> None:
    """Raise `ValueError` if the registry cannot have this name."""
    try:
        RunWideKeys(registry_hostname=name)
    except ValidationError:
        raise ValueError(f"must be {RunWideKeys.model_fields['registry_hostname'].description}") from None


def ask_hosts(
    ask: Ask, show: Callable[[str], None], look: Callable[[NewHost], Found], key: str
) -> dict[NewHost, Found]:
    """Ask for hosts, one after the other, and look at each as soon as its address is known; `key` is their SSH key."""
    found: dict[NewHost, Found] = {}
    show(f"Your hosts, one after the other: {new_hosts.FORM}. An empty line ends the list.")
    while True:
        text = until_right(ask, "Host", "", lambda text: text and new_hosts.parse_host(text))
        if not text:
            try:
                new_hosts.check(found)
            except ValueError as error:
                show(f"  {error}")
                continue
            return found
        host = new_hosts.parse_host(text).with_key(key)
        if host.name in {each.name for each in found}:
            show(f"  {host.name} is in the list already")
            continue
        seen = look(host)
        show(f"  {describe(host, seen)}")
        if seen.problem and ask("  Keep it all the same? [y/N]: ").strip().lower() not in {"y", "yes"}:
            continue
        default = _letters((*(() if found else ("registry",)), *seen.groups)) if not seen.problem else ""
        letters = until_right(ask, f"  What it is ({KINDS})", default, _groups)
        found[replace(host, groups=_groups(letters))] = seen


def _letters(groups: tuple[str, ...]) -> str:
    return "".join(letter for letter, group in LETTERS.items() if group in groups)


def _groups(letters: str) -> tuple[str, ...]:
    if not letters or not set(letters) <= set(LETTERS):
        raise ValueError(f"write one or several of {', '.join(LETTERS)}")
    return tuple(group for group in GROUPS if group in {LETTERS[letter] for letter in letters})
