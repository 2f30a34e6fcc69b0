"""TOML as people and tools write containerd's configuration: a strategy for whole files."""

from __future__ import annotations

from functools import cache

from hypothesis import strategies as st

# Strategies are kept (`cache`): hypothesis needs as long to make one as to draw from it.

BARE = st.sampled_from(["a", "level", "snapshotter", "max_concurrent_downloads", "x-y", "_1", "2"])
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=12)
COMMENTS = st.one_of(
    WORDS,
    st.sampled_from([
        ' [plugins."io.containerd.grpc.v1.cri".registry]', ' config_path = "/old"', "\tein \u2028Café", '"""', "'''",
    ]),
)  # fmt: skip
SPACE = st.sampled_from(["", " ", "  ", "\t"])


@cache
def among(*choices: str) -> st.SearchStrategy[str]:
    return st.sampled_from(choices)


@cache
def commented(*beginnings: str) -> st.SearchStrategy[str]:
    """Return a strategy for the ends of lines: one of these, with a comment behind those that end with `# `."""
    return among(*beginnings).flatmap(
        lambda begin: COMMENTS.map(begin.__add__) if begin.endswith("# ") else st.just(begin)
    )


def quoted(word: str, style: str) -> str:
    """Return a string in one of TOML's styles, if it can hold the word."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    if style == "'" and "'" not in word:
        return f"'{word}'"
    if style == "'''" and "'" not in word:
        return f"'''{word}'''"
    return f'"""{escaped}"""' if style == '"""' else f'"{escaped}"'


STYLES = st.sampled_from(['"', "'", '"""', "'''"])


@cache
@st.composite
def values(draw: st.DrawFn) -> str:
    """Draw a value of any type."""
    kind = draw(among("string", "number", "bool", "array", "lines", "inline", "text"))
    word = quoted(draw(WORDS), draw(STYLES))
    match kind:
        case "number":
            return draw(among("0", "-7", "1_000", "0x1F", "1.5e3", "+1"))
        case "bool":
            return draw(among("true", "false"))
        case "array":
            return f"[{draw(SPACE)}{word}{draw(SPACE)},{word}{draw(SPACE)}]"
        case "lines":
            return f"[\n  {word}, # {draw(COMMENTS)}\n\n  # ]\n  {word},\n]"
        case "inline":
            return f"{{{draw(SPACE)}b{draw(SPACE)}={draw(SPACE)}{word}, c.d = 1{draw(SPACE)}}}"
        case "text":
            return f'"""\n{draw(among("", "[debug]", "config_path = 1", "# x"))}\n"""'
    return word


@cache
@st.composite
def keys(draw: st.DrawFn, name: str) -> str:
    """Draw how a key is written."""
    plain = name.replace("_", "").replace("-", "").isalnum()
    styles = ['"', "'", *(["bare"] * 3 if plain else [])]
    style = draw(among(*styles))
    return name if style == "bare" else f"{style}{name}{style}"


@cache
@st.composite
def headers(draw: st.DrawFn, *path: str) -> str:
    dot = draw(among(".", ".", " . ", ". "))
    inner = dot.join([draw(keys(each)) for each in path])
    return f"[{draw(SPACE)}{inner}{draw(SPACE)}]"


@cache
@st.composite
def lines_of(draw: st.DrawFn, names: tuple[str, ...], indent: str) -> list[str]:
    """Draw the lines of a table: keys with values, comments and blank lines."""
    found = []
    for name in names:
        if draw(st.integers(0, 3)) == 0:
            found.append(draw(commented("", f"{indent}#", f"{indent}# ", "  ")))
        tail = draw(commented("", "", " ", " # ", "\t#"))
        found.append(f"{indent}{draw(keys(name))}{draw(SPACE)}={draw(SPACE)}{draw(values())}{tail}")
    return found


OTHERS = st.lists(
    st.sampled_from([("debug",), ("grpc",), ("ttrpc",), ("cgroup",), ("x", "y z"), ("x", "y.z", "w")]),
    unique=True,
    max_size=4,
)
NAMES = st.lists(st.sampled_from(["q1", "q-2", "q_3", "q 4"]), unique=True, max_size=3).map(tuple)
IN_REGISTRY = st.lists(st.sampled_from(["r1", "r-2", "r_3"]), unique=True, max_size=2).map(tuple)


@st.composite
def files(draw: st.DrawFn, plugin: str, present: str | None, own: list[str]) -> str:
    """Draw a file in which `present` is the `config_path`, if it is not None.

    `own` are the lines at the top, with `version`; `plugin` is the plugin's name.
    """
    indent = draw(among("", "  ", "    ", "\t"))
    top = [*own]
    if draw(st.booleans()):
        top = [f"# {draw(COMMENTS)}", *top, *draw(lines_of(("zz1", "zz2"), ""))]
    sections: list[list[str]] = []
    for path in draw(OTHERS):
        sections.append(
            [draw(among("", indent)) + draw(headers(*path)), *draw(lines_of(draw(NAMES), indent))]
        )
    for _ in range(draw(st.integers(0, 2))):
        sections.append(["[[proxies]]", *draw(lines_of(("q1",), indent))])
    more, registry = draw(registries(plugin, present, indent))
    sections = draw(st.permutations([*sections, *registry]))
    parts = [[*top, *more], *([""] * draw(st.integers(0, 2)) + section for section in sections)]
    return draw(finished("\n".join(line for part in parts for line in part)))


@st.composite
def registries(
    draw: st.DrawFn, plugin: str, present: str | None, indent: str
) -> tuple[list[str], list[list[str]]]:
    """Draw how the plugin's registry table is written: lines for the top, and sections."""
    table = ["plugins", plugin, "registry"]
    value = (
        f"{draw(keys('config_path'))}{draw(SPACE)}={draw(SPACE)}{quoted(present or '', draw(STYLES))}"
    )  # fmt: skip
    given = [] if present is None else [value]
    tail = draw(among("", " # here", " "))
    around = draw(lines_of(draw(IN_REGISTRY), indent))
    whole = [draw(headers(*table)), *(f"{indent}{each}{tail}" for each in given)]
    path = draw(st.sampled_from([table[:1], table[:2], [*table, "headers"]]))
    other = [draw(headers(*path)), *around]
    dotted = [f"{draw(keys('registry'))} . {each}{tail}" for each in given] or ["registry.r1 = 1"]
    at_top = f'plugins."{plugin}".registry.'
    shapes: list[tuple[list[str], list[list[str]]]] = [
        ([], [[indent + whole[0], *around, *whole[1:]]]),
        ([], [[indent + whole[0], *whole[1:], *around]]),
        ([], [other, *([whole] if given else [])]),
        ([], [[draw(headers(*table[:2])), *dotted]]),
        ([], [[draw(headers(*table[:2])), f"registry = {{{draw(SPACE)}{', '.join(given)}{draw(SPACE)}}}"]]),
        ([f"{at_top}{each}{tail}" for each in given or ["r1 = 1"]], []),
        ([], [whole] if given else []),
    ]
    return draw(st.sampled_from(shapes))


@st.composite
def finished(draw: st.DrawFn, text: str) -> str:
    """Draw how a file begins, how its lines end, and whether the last one does."""
    text += draw(among("\n", "\n", "", "\n\n", "\n# end", "\n  "))
    text = draw(among("", "", "", "\ufeff", "\n")) + text
    return text.replace("\n", "\r\n") if draw(st.integers(0, 4)) == 0 else text
