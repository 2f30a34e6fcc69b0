"""`/etc/hosts` as people and tools write it: a strategy for whole files."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

# Surrogates stand for bytes that are no UTF-8, as in Latin-1 (PEP 383).
COMMENTS = st.text(st.one_of(st.characters(codec="utf-8", exclude_characters="\n"), st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF)), max_size=12)  # fmt: skip
SPACE = st.sampled_from([" ", "  ", "\t", "\t\t", " \t"])
ADDRESSES = st.sampled_from(
    ["127.0.0.1", "::1", "10.0.0.5", "fe80::1%eth0", "255.255.255.255", "192.0.2.7", "x", "ff02::1"]
)
NAMES = st.sampled_from(
    [
        "localhost",
        "printer",
        "ip6-allnodes",
        "ads.example",
        "b\xfccher",
        "REGISTRY",
        "registry",
        "a.registry.example",
    ]
)


@st.composite
def lines(draw: st.DrawFn, ours: Sequence[str], address: str) -> str:
    """Draw a line in which no name of `ours` has another address than `address`."""
    kind = draw(st.sampled_from(["entry", "entry", "comment", "blank", "same"]))
    comment = draw(st.sampled_from(["", "", f" #{draw(COMMENTS)}", f"#{draw(COMMENTS)} {ours[0]}"]))
    if kind == "comment":
        return draw(st.sampled_from(["", " "])) + f"#{draw(COMMENTS)}"
    if kind == "blank":
        return draw(st.sampled_from(["", " ", "\t", "\x0b", "\x0c"]))
    names = draw(st.lists(NAMES, min_size=1, max_size=4))
    if kind == "same":
        names.append(draw(st.sampled_from([*ours, ours[0].upper()])))
    given = address if kind == "same" else draw(ADDRESSES)
    return (
        draw(st.sampled_from(["", "", " ", "\t"]))
        + given
        + "".join(draw(SPACE) + name for name in names)
        + comment
    )


TEMPLATE = [
    "127.0.1.1 {{fqdn}} {{hostname}}",
    "127.0.1.1 $fqdn $hostname",
    "::1 localhost.localdomain {{ hostname }}",
    "{#\nThis file is also managed, a line at a time\n-#}",
    "# a.) make changes to the master file in /etc/cloud/templates/hosts.debian.tmpl",
    "# The value '{{hostname}}' will be replaced",
]


@st.composite
def templates(draw: st.DrawFn, ours: Sequence[str], address: str) -> str:
    """Draw a template of cloud-init's (`/etc/cloud/templates/hosts.*.tmpl`)."""
    found = draw(st.lists(st.one_of(lines(ours, address), st.sampled_from(TEMPLATE)), max_size=8))
    text = draw(st.sampled_from(["", "## template:jinja\n", "##template: JINJA\n"])) + "\n".join(found)
    return text + draw(st.sampled_from(["\n", "\n", ""]))


@st.composite
def files(draw: st.DrawFn, ours: Sequence[str], address: str) -> str:
    """Draw a file; it may have lines that earlier runs wrote for `ours`."""
    found = draw(st.lists(lines(ours, address), max_size=8))
    for _ in range(draw(st.integers(0, 2))):
        # That of another address with none of our names is another registry's.
        entry = draw(st.sampled_from([f"{draw(ADDRESSES)} {' '.join(ours)}", f"{address} old.name"]))
        found.insert(draw(st.integers(0, len(found))), f"{entry} # homelab-registry")
    if draw(st.integers(0, 30)) == 0:
        found += ["192.0.2.7 ads.example tracker.example"] * 100
    end = draw(st.sampled_from(["\n", "\n", "\n", "\r\n"]))
    return end.join(found) + draw(st.sampled_from([end, end, "", end + end]))
