"""Our line in `/etc/hosts`, whatever else is there."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given

from tasks.clients import hosts_file
from tasks.clients.hosts_file import HostsFile
from tasks.remote import files
from tests.mergers import hosts_texts

NAMES, ADDRESS = ["registry.example", "images.example"], "192.168.1.10"
OURS = f"{ADDRESS} registry.example images.example # homelab-registry\n"


def users(text: str) -> list[str]:
    """Return the lines that are not ours."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    return [line for line in lines if not line.rstrip().endswith("# homelab-registry")]


@given(text=hosts_texts.files(NAMES, ADDRESS))
def test_our_line_is_there_once_and_every_other_byte_as_it_was(soak: bool, text: str) -> None:
    after = hosts_file.merge(text, ADDRESS, NAMES)
    assert after.count(OURS) == 1
    kept, before = "".join(users(after)), "".join(users(text))
    assert kept in {before, before + "\n"}
    assert kept == before or not text.endswith("\n")
    assert hosts_file.merge(after, ADDRESS, NAMES) == after
    assert hosts_file.merge(after, None, NAMES) == kept
    moved = hosts_file.merge(users_without_names(after), "10.9.8.7", NAMES)
    assert hosts_file.merge(moved, ADDRESS, NAMES) == users_without_names(after)


@given(text=hosts_texts.templates(NAMES, ADDRESS))
def test_cloud_init_makes_our_line_of_its_template_and_nothing_else_changes(soak: bool, text: str) -> None:
    found = HostsFile(OURS, template="/etc/cloud/templates/hosts.debian.tmpl", template_text=text)
    steps = hosts_file.steps(found, ADDRESS, NAMES)
    after = hosts_file.merge(text, ADDRESS, NAMES)
    assert [step.stdin for step in steps] == ([files.sent(after)] if after != text else [])
    assert entries(made(after)) == entries(hosts_file.merge(made(text), ADDRESS, NAMES))
    assert hosts_file.steps(replace(found, template_text=after), ADDRESS, NAMES) == []
    without = hosts_file.steps(replace(found, text="", template_text=after), None, NAMES)
    assert [step.stdin for step in without] == [files.sent("".join(users(after)))]


def made(template: str) -> str:
    """Return what cloud-init makes of a template: Jinja or its own `$name`, without the line that names the kind."""
    text = re.sub(r"^## *template: *jinja[^\n]*\n", "", template, flags=re.IGNORECASE)
    return re.sub(
        r"\{\{ ?(\w+) ?\}\}|\$(\w+)", "cloud.example", re.sub(r"\{#.*?#\}", "", text, flags=re.DOTALL)
    )


def entries(text: str) -> list[str]:
    """Return the lines but the empty ones, which a comment of Jinja's leaves."""
    return [line for line in text.split("\n") if line]


def users_without_names(text: str) -> str:
    """Return a text without the user's lines about our names."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    return "".join(line for line in lines if line == OURS or not any(name in line.lower() for name in NAMES))
