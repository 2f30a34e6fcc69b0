"""Draw the plot of run times: python plot.py FIGURES.json PLOT.svg, with a Python that has matplotlib."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "homelab-registry"

from matplotlib import pyplot as plt  # noqa: E402 - after the backend is chosen

LINES = {
    "playbook": ("Ansible playbook, nothing to change", "tab:red", "o-"),
    "deploy": ("deploy.py, nothing to change", "tab:blue", "o-"),
    "nothing": ("pyinfra exec -- true", "tab:gray", "o-"),
    "fake_deploy": ("deploy.py, simulated hosts", "tab:blue", "s--"),
    "fake_nothing": ("pyinfra exec -- true, simulated hosts", "tab:gray", "s--"),
}
TICKS = (1, 2, 5, 10, 20, 50, 100, 200)


def draw(figures: dict[str, dict[str, float]], target: Path) -> None:
    figure, axes = plt.subplots(figsize=(7, 4.5))
    for key, (label, colour, style) in LINES.items():
        points = sorted((int(count), seconds) for count, seconds in figures[key].items())
        axes.plot(*zip(*points, strict=True), style, color=colour, label=label, markersize=5)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(TICKS, [str(tick) for tick in TICKS])
    axes.set_yticks(
        [0.5, 1, 2, 5, 10, 20, 50, 100, 200], ["0.5", "1", "2", "5", "10", "20", "50", "100", "200"]
    )
    axes.minorticks_off()
    axes.set_xlabel("hosts")
    axes.set_ylabel("seconds")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
