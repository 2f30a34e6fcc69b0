"""The gateway's figures as people read them."""

from __future__ import annotations

from benchmarks.gateway.figures import (
    BLOB,
    CLIENTS,
    FREE_SPACE,
    LARGE,
    LAYER,
    LAYERS,
    Figures,
    VersionFigures,
)
from benchmarks.results import Row, table

ROLES = {
    "gateway": "the gateway",
    "stock": "the stock registry",
    "bare": "the bare registry",
    "bare_tls": "the bare registry",
    "static": "static files",
}


def rows(figures: Figures) -> list[Row]:
    """Return all marks."""
    return [row for version, found in figures.versions.items() for row in _version_rows(version, found)]


def _version_rows(version: str, found: VersionFigures) -> list[Row]:
    requests = found.requests
    image = f"push of {LAYERS * LAYER} MB in {LAYERS} layers"
    apart = abs(found.guesses["unknown"] - found.guesses["wrong"])
    return [
        *(
            _ratio(f"{version}: GET of a manifest, 16 connections", "gateway", other, requests, bound, "/s")
            for other, bound in (("stock", 40), ("bare", 0.9))
        ),
        *(
            _ratio(f"{version}: GET of {BLOB} MB, {kind}", "gateway", "static", speeds, 0.9, " MB/s")
            for kind, speeds in found.blobs.items()
        ),
        _ratio(f"{version}: {image}", "gateway", "bare_tls", found.push, 0.9, " MB/s"),
        Row(
            f"{version}: an unknown account against a wrong password",
            apart,
            1,
            at_most=True,
            unit="ms",
            told=f"{found.guesses['unknown']:.2f} ms against {found.guesses['wrong']:.2f} ms",
        ),
        Row(
            f"{version}: memory under {CLIENTS} pulls and {CLIENTS} pushes, above idle",
            found.memory["most"] - found.memory["idle"],
            256,
            at_most=True,
            unit="MB",
            told=f"{found.memory['most']:.0f} MB, idle {found.memory['idle']:.0f} MB",
        ),
    ]


def _ratio(what: str, ours: str, theirs: str, found: dict[str, float], bound: float, unit: str) -> Row:
    return Row(
        f"{what}, against {ROLES[theirs]}",
        found[ours] / found[theirs],
        bound,
        at_most=False,
        told=f"{found[ours]:.0f}{unit} against {found[theirs]:.0f}{unit}",
    )


def page(figures: Figures, machine: list[str]) -> str:
    """Return the results as Markdown; `machine` has lines on what they were measured with."""
    return "\n".join(
        [
            "# Results: the gateway",
            "",
            "Written by `make bench`; [what is measured](../README.md), "
            "and [what makes the difference](../../docs/speed.md).",
            "",
            *(f"- {line}" for line in machine),
            "",
            *table(["what", "measured", "", "mark", "reached"], [row.cells for row in rows(figures)]),
            "",
            *_large(figures.large),
            "",
            "![requests and MB in a second](gateway.svg)",
            "",
            "A bar is a median, and longer is better. Bars of one group were measured in turns: compare those, since "
            "how long they are at all is the machine's doing. A black line in the way of the blue bar, the gateway's, "
            "is a mark that it is to reach: 0.9 of the grey bar, 40 times the orange one.",
            "",
        ]
    )


def _large(large: dict[str, float]) -> list[str]:
    if not large:
        return [
            f"A layer of {LARGE / 1000:g} GB was not tried: the disk has not the {FREE_SPACE / 1000:g} GB free for it."
        ]
    return [
        f"A layer of {LARGE / 1000:g} GB passes through the gateway without being kept there (2.8; without marks):",
        "",
        *table(
            ["", "MB/s", "the gateway's memory above idle, MB", "both", "the gateway's /tmp above idle, MB"],
            [
                [
                    what,
                    f"{large[what]:.0f}",
                    *(f"{large[f'{what}_{part}']:.1f}" for part in ("gateway", "both", "tmp")),
                ]
                for what in ("push", "pull")
            ],
        ),
    ]
