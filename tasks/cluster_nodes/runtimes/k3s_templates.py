"""The templates from which K3s and RKE2 generate containerd's configuration, and the files that it imports."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any

from tasks.remote import toml_edit
from tasks.remote.source_lines import line_at
from tasks.remote.steps import Conflict

VERSIONS = (3, 2)
"""The configuration versions of containerd that it generates, each with a template and a folder of its own."""

TEMPLATES = ("config-v3.toml.tmpl", "config.toml.tmpl")
"""The first that exists is in use (`templateGenerations`). A K3s with containerd 1.x knows the second alone."""

DROP_INS = ("config-v3.toml.d", "config.toml.d")
"""The folders beside the templates whose `*.toml` the generated configuration imports."""


def parsed(text: str) -> dict[str, Any]:
    """Return what a generated file says. A broken one says nothing: it is generated again at the next start."""
    try:
        return tomllib.loads(text)
    except toml_edit.UNREADABLE:
        return {}


def _versions(folder: str, texts: Mapping[str, str]) -> set[int]:
    """Return the configuration versions of which one is in use, at the next start at the latest."""
    now = parsed(texts.get(f"{folder}/config.toml", "")).get("version")
    newest, older = (f"{folder}/{name}" in texts for name in TEMPLATES)
    if older and not newest:
        return {2}
    if now == 3 or (now == 2 and not newest):
        return {now}
    return set(VERSIONS)


def check(folder: str, texts: Mapping[str, str]) -> None:
    """Raise `Conflict` if a template of the user's that is in use does not set the folder of `hosts.toml`, or sets
    another, as an imported file can do."""
    versions = _versions(folder, texts)
    in_use = [
        names for version, *names in zip(VERSIONS, TEMPLATES, DROP_INS, strict=True) if version in versions
    ]
    templates = [f"{folder}/{template}" for template, _ in in_use]
    added = [
        path for path in texts if path.startswith(tuple(f"{folder}/{drop_in}/" for _, drop_in in in_use))
    ]
    for path in [*(path for path in templates if path in texts), *added]:
        text, is_template = texts[path], path in templates
        if is_template and re.search(r"\{\{-?\s*template\s+\"base\"", text):
            continue
        given = re.search(r"^[^#\n]*\bconfig_path[\"']?\s*=\s*(.*)$", text, re.MULTILINE)
        ours = r"NodeConfig\.Containerd\.Registry\b|agent/etc/containerd/certs\.d/?[\"']"
        if re.search(ours, given[1]) if given else not is_template:
            continue
        place = f"{path} line {line_at(text, given.start(1)) if given else 1}"
        what = f"sets config_path to {given[1].strip()}" if given else "sets no config_path"
        raise Conflict(
            f"{place} {what}, so containerd would not see our CA",
            'begin it with {{ template "base" . }}, or set config_path = "{{ .NodeConfig.Containerd.Registry }}", '
            "and run again"
            if is_template
            else "take that line out and run again",
        )
