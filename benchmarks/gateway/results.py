"""The gateway's results as a page."""

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

NAMES = {
    "gateway": "the gateway",
    "stock": "the stock registry",
    "bare": "the bare registry",
    "bare_tls": "the bare registry",
    "static": "static files",
}


def rows(figures: Figures) -> list[Row]:
    """Return a row for each target."""
    return [row for version, found in figures.versions.items() for row in _version_rows(version, found)]


def _version_rows(version: str, found: VersionFigures) -> list[Row]:
    requests = found.requests
    image = f"push of {LAYERS * LAYER} MB in {LAYERS} layers"
    difference = abs(found.guesses["unknown"] - found.guesses["wrong"])
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
            difference,
            1,
            at_most=True,
            unit="ms",
            details=f"{found.guesses['unknown']:.2f} ms against {found.guesses['wrong']:.2f} ms",
        ),
        Row(
            f"{version}: memory under {CLIENTS} pulls and {CLIENTS} pushes, above idle",
            found.memory["most"] - found.memory["idle"],
            256,
            at_most=True,
            unit="MB",
            details=f"{found.memory['most']:.0f} MB, idle {found.memory['idle']:.0f} MB",
        ),
    ]


def _ratio(name: str, ours: str, theirs: str, found: dict[str, float], bound: float, unit: str) -> Row:
    return Row(
        f"{name}, against {NAMES[theirs]}",
        found[ours] / found[theirs],
        bound,
        at_most=False,
        details=f"{found[ours]:.0f}{unit} against {found[theirs]:.0f}{unit}",
    )


def page(figures: Figures, machine: list[str]) -> str:
    """Return the results as Markdown; `machine` has lines about the machine and the workload."""
    return "\n".join(
        [
            "# Results: the gateway",
            "",
            "Written by `make bench`; [what is measured](../README.md), "
            "and [what makes the difference](../../docs/speed.md).",
            "",
            *(f"- {line}" for line in machine),
            "",
            *table(["what", "measured", "", "target", "reached"], [row.cells for row in rows(figures)]),
            "",
            *_large(figures.large),
            "",
            "![requests and MB per second](gateway.svg)",
            "",
            "Each bar is a median; longer is better. Compare bars of one group: they were measured in turns, and "
            "their absolute length depends on the machine. A black line is a target for the gateway's bar, the blue "
            "one: 0.9 of the grey bar, 40 times the orange one.",
            "",
        ]
    )


def _large(large: dict[str, float]) -> list[str]:
    if not large:
        return [
            f"A layer of {LARGE / 1000:g} GB was not measured: it needs {FREE_SPACE / 1000:g} GB of free disk space."
        ]
    return [
        f"A layer of {LARGE / 1000:g} GB passes through the gateway without being buffered there (2.8; no targets):",
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
