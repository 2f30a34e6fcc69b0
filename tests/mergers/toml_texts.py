"""TOML as people and tools write containerd's configuration: a strategy for whole files."""

from __future__ import annotations

from hypothesis import strategies as st

BARE = st.sampled_from(["a", "level", "snapshotter", "max_concurrent_downloads", "x-y", "_1", "2"])
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=12)
COMMENTS = st.one_of(
    WORDS,
    st.sampled_from([
        ' [plugins."io.containerd.grpc.v1.cri".registry]', ' config_path = "/old"', "\tein \u2028Café", '"""', "'''",
    ]),
)  # fmt: skip
SPACE = st.sampled_from(["", " ", "  ", "\t"])


def quoted(word: str, style: str) -> str:
    """Return a string in one of TOML's styles, if it can hold the word."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    if style == "'" and "'" not in word:
        return f"'{word}'"
    if style == "'''" and "'" not in word:
        return f"'''{word}'''"
    return f'"""{escaped}"""' if style == '"""' else f'"{escaped}"'


STYLES = st.sampled_from(['"', "'", '"""', "'''"])


@st.composite
def values(draw: st.DrawFn) -> str:
    """Draw a value of any type."""
    kind = draw(st.sampled_from(["string", "number", "bool", "array", "lines", "inline", "text"]))
    word = quoted(draw(WORDS), draw(STYLES))
    match kind:
        case "number":
            return draw(st.sampled_from(["0", "-7", "1_000", "0x1F", "1.5e3", "+1"]))
        case "bool":
            return draw(st.sampled_from(["true", "false"]))
        case "array":
            return f"[{draw(SPACE)}{word}{draw(SPACE)},{word}{draw(SPACE)}]"
        case "lines":
            return f"[\n  {word}, # {draw(COMMENTS)}\n\n  # ]\n  {word},\n]"
        case "inline":
            return f"{{{draw(SPACE)}b{draw(SPACE)}={draw(SPACE)}{word}, c.d = 1{draw(SPACE)}}}"
        case "text":
            return f'"""\n{draw(st.sampled_from(["", "[debug]", "config_path = 1", "# x"]))}\n"""'
    return word


@st.composite
def keys(draw: st.DrawFn, name: str) -> str:
    """Draw how a key is written."""
    plain = name.replace("_", "").replace("-", "").isalnum()
    styles = ['"', "'", *(["bare"] * 3 if plain else [])]
    style = draw(st.sampled_from(styles))
    return name if style == "bare" else f"{style}{name}{style}"


@st.composite
def headers(draw: st.DrawFn, path: list[str]) -> str:
    dot = draw(st.sampled_from([".", ".", " . ", ". "]))
    inner = dot.join([draw(keys(each)) for each in path])
    return f"[{draw(SPACE)}{inner}{draw(SPACE)}]"


@st.composite
def lines_of(draw: st.DrawFn, names: list[str], indent: str) -> list[str]:
    """Draw the lines of a table: keys with values, comments and blank lines."""
    found = []
    for name in names:
        if draw(st.integers(0, 3)) == 0:
            found.append(draw(st.sampled_from(["", f"{indent}#", f"{indent}# {draw(COMMENTS)}", "  "])))
        tail = draw(st.sampled_from(["", "", " ", f" # {draw(COMMENTS)}", "\t#"]))
        found.append(f"{indent}{draw(keys(name))}{draw(SPACE)}={draw(SPACE)}{draw(values())}{tail}")
    return found


OTHERS = [["debug"], ["grpc"], ["ttrpc"], ["cgroup"], ["x", "y z"], ["x", "y.z", "w"]]


@st.composite
def files(draw: st.DrawFn, plugin: str, present: str | None, own: list[str]) -> str:
    """Draw a file in which `present` is the `config_path`, if it is not None.

    `own` are the lines at the top, with `version`; `plugin` is the plugin's name.
    """
    indent = draw(st.sampled_from(["", "  ", "    ", "\t"]))
    top = [*own]
    if draw(st.booleans()):
        top = [f"# {draw(COMMENTS)}", *top, *draw(lines_of(["zz1", "zz2"], ""))]
    sections: list[list[str]] = []
    for path in draw(st.lists(st.sampled_from(OTHERS), unique_by=tuple, max_size=4)):
        names = draw(st.lists(st.sampled_from(["q1", "q-2", "q_3", "q 4"]), unique=True, max_size=3))
        sections.append(
            [draw(st.sampled_from(["", indent])) + draw(headers(path)), *draw(lines_of(names, indent))]
        )
    for _ in range(draw(st.integers(0, 2))):
        sections.append(["[[proxies]]", *draw(lines_of(["q1"], indent))])
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
    tail = draw(st.sampled_from(["", " # here", " "]))
    around = draw(
        lines_of(draw(st.lists(st.sampled_from(["r1", "r-2", "r_3"]), unique=True, max_size=2)), indent)
    )
    whole = [draw(headers(table)), *(f"{indent}{each}{tail}" for each in given)]
    other = [draw(headers(draw(st.sampled_from([["plugins"], table[:2], [*table, "headers"]])))), *around]
    dotted = [f"{draw(keys('registry'))} . {each}{tail}" for each in given] or ["registry.r1 = 1"]
    at_top = f'plugins."{plugin}".registry.'
    shapes: list[tuple[list[str], list[list[str]]]] = [
        ([], [[indent + whole[0], *around, *whole[1:]]]),
        ([], [[indent + whole[0], *whole[1:], *around]]),
        ([], [other, *([whole] if given else [])]),
        ([], [[draw(headers(table[:2])), *dotted]]),
        ([], [[draw(headers(table[:2])), f"registry = {{{draw(SPACE)}{', '.join(given)}{draw(SPACE)}}}"]]),
        ([f"{at_top}{each}{tail}" for each in given or ["r1 = 1"]], []),
        ([], [whole] if given else []),
    ]
    return draw(st.sampled_from(shapes))


@st.composite
def finished(draw: st.DrawFn, text: str) -> str:
    """Draw how a file begins, how its lines end, and whether the last one does."""
    text += draw(st.sampled_from(["\n", "\n", "", "\n\n", "\n# end", "\n  "]))
    text = draw(st.sampled_from(["", "", "", "\ufeff", "\n"])) + text
    return text.replace("\n", "\r\n") if draw(st.integers(0, 4)) == 0 else text
