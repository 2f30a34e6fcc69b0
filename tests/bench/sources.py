"""This machine's apt sources for Debian, so that the bench uses its mirror."""

from __future__ import annotations

import re
from pathlib import Path

# Other publishers also use Debian's suite names, but with their own components.
COMPONENTS = {"main", "contrib", "non-free", "non-free-firmware"}
ONE_LINE = re.compile(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)")
OPTIONS = {"signed-by", "trusted", "check-valid-until"}
# A mirror that has one has the others. Forky is not released: updates go directly into the suite.
SUITES = {
    "bookworm": ("bookworm", "bookworm-updates", "bookworm-security"),
    "trixie": ("trixie", "trixie-updates", "trixie-security"),
    "forky": ("forky",),
}


def sources(suite: str, apt: Path = Path("/etc/apt")) -> str:
    """Return deb822 text with the entries for the suite, its updates and its security updates.

    If this machine has none, they are derived from those for another suite; `RuntimeError` if there are none either.
    """
    found = _debian_entries(apt)
    for other in dict.fromkeys((suite, *SUITES)):
        kept = []
        for entry in found:
            named = [
                name.replace(other, suite, 1)
                for name in entry["suites"].split()
                if name in SUITES.get(other, ())
            ]
            if suites := [name for name in named if name in SUITES.get(suite, ())]:
                kept.append({**entry, "types": "deb", "suites": " ".join(suites)})
        if any(suite in entry["suites"].split() for entry in kept):
            return "\n".join(
                "".join(f"{_name(key)}: {value}\n" for key, value in entry.items()) for entry in kept
            )
    raise RuntimeError(
        f"no apt source of this machine has Debian's suite {suite}, nor one from which it could be derived"
    )


def _debian_entries(apt: Path) -> list[dict[str, str]]:
    """Return the entries for Debian's own packages."""
    found: list[dict[str, str]] = []
    for path in sorted(apt.glob("sources.list.d/*.sources")):
        found += [_stanza(text) for text in re.split(r"\n[ \t]*\n", path.read_text())]
    for path in [apt / "sources.list", *sorted(apt.glob("sources.list.d/*.list"))]:
        if path.is_file():
            found += [_line(text) for text in path.read_text().splitlines()]
    kept = []
    for entry in found:
        components = entry.get("components", "").split()
        off = entry.get("enabled", "yes").lower() in {"no", "false", "0", "off", "disable", "without"}
        if "suites" in entry and "main" in components and COMPONENTS.issuperset(components) and not off:
            kept.append(entry)
    return kept


def _name(key: str) -> str:
    return "URIs" if key == "uris" else key.title()


def _stanza(text: str) -> dict[str, str]:
    """Parse a deb822 stanza; field names become lower case, and continued lines keep their line ends."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\n(?=[ \t])", "\0", "\n".join(lines))
    pairs = (line.partition(":") for line in joined.splitlines())
    fields = {key.strip().lower(): value.strip().replace("\0", "\n") for key, _, value in pairs}
    return fields if "deb" in fields.get("types", "").split() else {}


def _line(text: str) -> dict[str, str]:
    """Parse an entry in the one-line format into the same fields as a stanza."""
    match = ONE_LINE.match(text.strip())
    if not match:
        return {}
    options, uri, suite, components = match.groups()
    fields = {"types": "deb", "uris": uri, "suites": suite, "components": components.strip()}
    for option in (options or "").split():
        key, _, value = option.partition("=")
        if key in OPTIONS:
            fields[key] = value
    return fields
