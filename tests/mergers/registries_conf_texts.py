"""`registries.conf` as people and tools write it: a strategy for whole files, and images whose pulls show what it says."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.mergers.shapes import NAME
from tests.mergers.toml_texts import COMMENTS, SPACE, STYLES, commented, finished, keys, quoted

HOST = NAME.partition(":")[0]
OTHER, MIRROR = "other.example", "mirror.example"
IMAGES = (f"{NAME}/x", f"{NAME}/team/x", f"{OTHER}/x")

PLACES = st.sampled_from([NAME, NAME, f"{NAME}/team", HOST, OTHER, MIRROR, f"{MIRROR}/cache"])
PREFIXES = st.sampled_from(
    [NAME, f"{NAME}/", f"{NAME}/team", HOST, "*.example", f"{NAME}0", OTHER, "example"]
)
FLAGS = st.sampled_from([None, None, None, False, True])
MIRRORS = st.lists(st.fixed_dictionaries({"location": PLACES, "insecure": FLAGS}), max_size=2)


@st.composite
def entries(draw: st.DrawFn) -> dict[str, Any]:
    """Draw an entry with a prefix, a location, or both."""
    entry: dict[str, Any] = {"prefix": draw(st.one_of(st.none(), PREFIXES)), "location": draw(PLACES)}
    if str(entry["prefix"]).startswith("*.") and draw(st.booleans()):
        entry["location"] = None
    entry |= {"insecure": draw(FLAGS), "blocked": draw(FLAGS)}
    if draw(st.integers(0, 3)) == 0:
        entry["mirror"] = draw(MIRRORS)
    return entry


@st.composite
def members(draw: st.DrawFn, table: dict[str, Any]) -> list[str]:
    """Draw how the values of a table are written, in any order."""
    given = [(key, value) for key, value in table.items() if value is not None and key != "mirror"]
    return [
        f"{draw(keys(key))}{draw(SPACE)}={draw(SPACE)}"
        + (str(value).lower() if isinstance(value, bool) else quoted(value, draw(STYLES)))
        for key, value in draw(st.permutations(given))
    ]


@st.composite
def files(draw: st.DrawFn) -> str:
    """Draw a file: of version 2 of the format, with tables or inline ones, or now and then of version 1."""
    if draw(st.integers(0, 9)) == 0:
        kinds = draw(st.lists(st.sampled_from(["insecure", "block", "search"]), unique=True, max_size=3))
        sections = [f"[registries.{kind}]\nregistries = ['{draw(PLACES)}']" for kind in kinds]
        return draw(finished("\n".join(sections)))
    found = draw(
        st.lists(
            entries(), max_size=3, unique_by=lambda each: (each["prefix"] or each["location"]).rstrip("/")
        )
    )
    top = draw(commented("", "# ", 'unqualified-search-registries = ["docker.io"]'))
    if draw(st.integers(0, 4)) == 0:
        written = [
            ", ".join(
                [
                    *draw(members(each)),
                    *(
                        [f"mirror = [{', '.join(inner)}]"]
                        if (
                            inner := [
                                f"{{{', '.join(draw(members(one)))}}}" for one in each.get("mirror", [])
                            ]
                        )
                        else []
                    ),
                ]
            )
            for each in found
        ]
        return draw(finished(f"{top}\nregistry = [{', '.join(f'{{{each}}}' for each in written)}]"))
    lines = [top]
    for each in found:
        lines += [draw(commented("", "# ")), "[[registry]]", *draw(members(each))]
        for mirror in each.get("mirror", []):
            lines += ["[[registry.mirror]]", f"# {draw(COMMENTS)}", *draw(members(mirror))]
    return draw(finished("\n".join(lines)))
