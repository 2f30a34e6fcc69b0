"""YAML as people and tools write `registries.yaml`: a strategy for whole files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

Value = Mapping[str, Any] | Sequence[Any] | str | None


class Alias(str):
    """An alias, written as it is."""

    __slots__ = ()


WORDS = st.one_of(
    st.sampled_from([
        "https://mirror.example:5000/v2/x", "yes", "off", "017", "1.0", "null", "~", "a # b", "a: b", "- x", "'", '"',
        "p%w@x", "{a}", "[b]", "*c", "&d", "!e", "|", ">", "Ünïcode", "tab\there", "", " ", "5000", "2001-01-01", "\\", "a\u2028b",
    ]),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co")), max_size=10),
)  # fmt: skip
NAMES = st.sampled_from([
    "docker.io", "cache.example", "cache.example:5000", "*", "10.0.0.5:5000", "[fd00::1]:5000", "https://x.example", "ghcr.io", "5000",
])  # fmt: skip
COMMENTS = st.sampled_from(["#", "# here", "#\tconfigs:", "# {", "# 'x", "# Ümläut", "# password: x"])
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./-_")


@st.composite
def scalars(draw: st.DrawFn, word: str | None, *, flow: bool = False) -> str:
    """Draw how a scalar is written."""
    if isinstance(word, Alias) or word == "<<":
        return word
    if word is None:
        return draw(st.sampled_from(["~", "null", "Null", *([] if flow else [""])]))
    plain = word and set(word) <= PLAIN and word[0] not in ".-" and not word.lower().startswith(("null", "0"))
    style = draw(st.sampled_from(["double", "single", *(["plain"] * 3 if plain else [])]))
    if style == "plain":
        return word
    if style == "single" and "\u2028" not in word:
        return "'" + word.replace("'", "''") + "'"
    return json.dumps(word, ensure_ascii=draw(st.booleans())).replace("\u2028", "\\u2028")


@st.composite
def flows(draw: st.DrawFn, value: Value) -> str:
    """Draw how a value is written in one line, or between brackets."""
    gap = st.sampled_from(["", " ", "\t", "\n      "])
    if isinstance(value, Mapping):
        pairs = [
            f"{draw(scalars(key, flow=True))}: {draw(flows(inner))}{draw(gap)}"
            for key, inner in value.items()
        ]
        return "{" + draw(gap) + f",{draw(gap)} ".join(pairs) + "}"
    if value is None or isinstance(value, str):
        return draw(scalars(value, flow=True))
    return "[" + ", ".join(draw(flows(each)) for each in value) + draw(gap) + "]"


@st.composite
def blocks(draw: st.DrawFn, value: Value, column: int, after: str = "") -> str:
    """Draw how a value is written behind the colon of its key, which stands at `column`."""
    gap = draw(st.sampled_from([" ", " ", "  ", "\t", " \t"]))
    if isinstance(value, Alias):
        return f"{gap}{value}\n"
    tail = draw(st.sampled_from(["", "", "", " ", "\t", f" {draw(COMMENTS)}", f"\t{draw(COMMENTS)}"]))
    begin = draw(st.sampled_from(["", "", "", "", f"{gap}&a{draw(st.integers(1, 10**9))}", f"{gap}!!map"]))
    if value is None or isinstance(value, str):
        if (
            isinstance(value, str)
            and draw(st.integers(0, 9)) == 0
            and value.strip() == value
            and value.isascii()
            and value.isprintable()
            and value
        ):
            return f"{gap}|-{tail}\n{' ' * (column + 3)}{value}\n"
        return f"{gap}{draw(scalars(value))}{tail}\n"
    if not value or draw(st.integers(0, 5)) == 0:
        return f"{gap}{draw(flows(value))}{tail}\n"
    if isinstance(value, Mapping):
        return f"{begin}{tail}\n{draw(mappings(value, column + draw(st.integers(1, 4))))}"
    inner = column + draw(st.integers(0, 3))
    items = [
        f"{' ' * inner}- {draw(scalars(each))}{draw(st.sampled_from(['', ' ', ' # x']))}\n" for each in value
    ]
    return f"{'' if '!!' in begin else begin}{tail}\n{''.join(items)}"


@st.composite
def mappings(draw: st.DrawFn, value: Mapping[str, Value], column: int) -> str:
    """Draw how a mapping is written as a block."""
    text = ""
    for key, inner in value.items():
        if draw(st.integers(0, 5)) == 0:
            text += draw(
                st.sampled_from(["\n", f"{' ' * column}{draw(COMMENTS)}\n", f"  {draw(COMMENTS)}\n", "   \n"])
            )
        colon = draw(st.sampled_from([":", ":", ":", " :", "\t:"]))
        text += f"{' ' * column}{draw(scalars(key))}{colon}{draw(blocks(inner, column))}"
    return text


MIRRORS = st.dictionaries(
    NAMES,
    st.fixed_dictionaries({"endpoint": st.lists(WORDS, max_size=2)}, optional={"rewrite": st.dictionaries(WORDS, WORDS, max_size=1)}),
    max_size=2,
)  # fmt: skip
TLS = st.fixed_dictionaries({}, optional={
    "<<": st.just(Alias("*base")),
    "cert_file": st.just("/x.crt"), "ca_file": st.just("/x-ca.crt"), "insecure_skip_verify": st.sampled_from(["true", "false"]),
})  # fmt: skip
AUTH = st.fixed_dictionaries({}, optional={"username": WORDS, "password": WORDS, "auth": st.just("eDp5")})
ENTRIES = st.fixed_dictionaries(
    {}, optional={"tls": st.one_of(TLS, st.none()), "auth": st.one_of(AUTH, st.none())}
)


def files(endpoint: str, ca_file: str) -> st.SearchStrategy[str]:
    """Return a strategy for files in which nothing contradicts an entry for `endpoint` with `ca_file`."""
    ours = st.one_of(
        st.none(),
        st.fixed_dictionaries({}, optional={
            "tls": st.one_of(st.none(), st.just(Alias("*base")), st.fixed_dictionaries({}, optional={
                "<<": st.just(Alias("*base")),
                "cert_file": st.just("/y.crt"), "ca_file": st.sampled_from([None, ca_file]), "key_file": st.just("/y.key"),
            })),
            "auth": st.one_of(st.none(), AUTH),
        }),
    )  # fmt: skip
    configs = st.builds(
        lambda others, entry, first: {endpoint: entry, **others} if first else {**others, endpoint: entry},
        st.dictionaries(NAMES, ENTRIES, max_size=2), ours, st.booleans(),
    )  # fmt: skip
    top = st.fixed_dictionaries({}, optional={
        "mirrors": st.one_of(MIRRORS, st.none()),
        "configs": st.one_of(configs, st.dictionaries(NAMES, ENTRIES, max_size=2), st.none()),
        "auths": st.dictionaries(NAMES, AUTH, max_size=1),
        "x-own": st.one_of(WORDS, st.lists(WORDS, max_size=2)),
    }).flatmap(lambda value: st.permutations(list(value.items())).map(dict))  # fmt: skip
    return top.flatmap(finished)


@st.composite
def finished(draw: st.DrawFn, value: Mapping[str, Value]) -> str:
    """Draw a file: how it begins and ends, and where its mapping stands."""
    column = draw(st.sampled_from([0, 0, 0, 2]))
    text = draw(flows(value)) + "\n" if draw(st.integers(0, 19)) == 0 else draw(mappings(value, column))
    begin = draw(
        st.sampled_from(["", "", "", "\ufeff", "---\n", "# mine\n\n", "%YAML 1.1\n---\n", "--- # x\n"])
    )
    end = draw(st.sampled_from(["", "", "\n", "# end\n", "...\n", "---\nother: 1\n", "# end"]))
    if "*base" in text:
        text = f"{' ' * column}x-base: &base\n{' ' * column}    cert_file: /b.crt\n{text}"
    text = begin + text + end
    if draw(st.integers(0, 3)) == 0 and not text.endswith(("\n\n", " \n")):
        text = text.removesuffix("\n")
    return text.replace("\n", "\r\n") if draw(st.integers(0, 5)) == 0 else text
