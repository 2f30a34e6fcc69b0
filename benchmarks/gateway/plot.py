"""Draw the plot of the gateway's figures: python plot.py FIGURES.json PLOT.svg, with a Python that has matplotlib."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "homelab-registry"

from matplotlib import pyplot as plt  # noqa: E402 - after the backend is chosen

LABELS_AND_COLOURS = {
    "gateway": ("gateway", "tab:blue"),
    "static": ("nginx, static file", "silver"),
    "bare_tls": ("registry alone, TLS, same hash", "dimgray"),
    "bare": ("registry alone, no TLS, same hash", "tab:gray"),
    "stock": ("stock registry, TLS, bcrypt cost 10", "tab:orange"),
}
TARGETS = {"static": 0.9, "bare_tls": 0.9, "bare": 0.9, "stock": 40}


def draw(figures: dict[str, Any], target: Path) -> None:
    versions = figures["versions"]
    figure, axes = plt.subplots(2, len(versions), figsize=(10, 6.5), squeeze=False, height_ratios=(1, 3))
    for column, (version, found) in enumerate(versions.items()):
        upper, lower = axes[0][column], axes[1][column]
        upper.set_title(f"distribution {version}")
        bars(upper, {"GET of a manifest": found["requests"]})
        upper.set_xscale("log")
        upper.set_xlabel("requests/s, 16 connections (logarithmic)")
        bars(
            lower,
            {f"GET of a blob\n{kind}": speeds for kind, speeds in found["blobs"].items()}
            | {"push": found["push"]},
        )
        lower.set_xlabel("MB/s")
    for row in axes:
        widest = max(each.get_xlim()[1] for each in row)
        for each in row:
            each.set_xlim(right=widest)
    labels = {
        label: patch
        for each in axes.flat
        for patch, label in zip(*each.get_legend_handles_labels(), strict=True)
    }
    figure.legend(labels.values(), labels, loc="lower center", ncols=3, fontsize=8)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    figure.savefig(target, metadata={"Date": None})


def bars(axes: Any, groups: dict[str, dict[str, float]]) -> None:
    """Draw each group of bars, with lines for the targets of its first bar, the gateway's."""
    ticks: dict[str, float] = {}
    place = 0.0
    for name, found in groups.items():
        ticks[name] = place + (len(found) - 1) / 2
        for contender, value in found.items():
            label, colour = LABELS_AND_COLOURS[contender]
            axes.barh(place, value, color=colour, height=0.9, label=label)
            axes.text(value, place, f" {value:.0f}", va="center", fontsize=7)
            if contender in TARGETS:
                target = value * TARGETS[contender]
                axes.plot(
                    [target, target],
                    [ticks[name] - len(found) / 2, ticks[name] - len(found) / 2 + 1],
                    color="black",
                )
            place += 1
        place += 0.6
    axes.set_yticks(list(ticks.values()), list(ticks), fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.grid(axis="x", alpha=0.3)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
