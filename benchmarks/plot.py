"""Draws the growth curves: `python -m benchmarks.plot results.json folder`.

Runs in the environment of `requirements/plot.txt`, started by the harness.
"""

import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

PANELS = (
    ("an append, µs", re.compile(r"K (.+) · append at ([\d,]+)"), "µs an append"),
    ("open and the last 20, ms", re.compile(r"D (.+) · ([\d,]+)"), "ms"),
    ("resolve a known key, µs", re.compile(r"F (.+) · ([\d,]+) sessions"), "known key, µs"),
)
OURS = "session-store"

Curves = dict[str, list[tuple[int, float]]]


def curves(cases: dict[str, Any], pattern: re.Pattern[str], metric: str) -> Curves:
    """Return the medians of each row over the sizes."""
    found: Curves = {}
    for name, metrics in cases.items():
        match = pattern.fullmatch(name)
        values = metrics.get(metric)
        if match and values and not match[1].startswith("limit"):
            point = (int(match[2].replace(",", "")), statistics.median(values))
            found.setdefault(match[1], []).append(point)
    return {row: sorted(points) for row, points in found.items() if len(points) > 1}


def main(results: Path, folder: Path) -> None:
    """Draw all panels into one picture, as PNG and as SVG."""
    mpl.rcParams["svg.hashsalt"] = "session-store"
    cases = json.loads(results.read_text("utf-8"))["cases"]
    figure, axes = plt.subplots(1, 3, figsize=(15, 6))
    colors = plt.get_cmap("tab20").colors
    order: dict[str, Any] = {}
    for axis, (title, pattern, metric) in zip(axes, PANELS, strict=True):
        for row, points in curves(cases, pattern, metric).items():
            color = order.setdefault(row, colors[len(order) % len(colors)])
            mine = row.startswith(OURS)
            axis.plot(
                *zip(*points, strict=True),
                label=row,
                color="black" if row == OURS else color,
                linewidth=2.5 if mine else 1.2,
                marker="o",
                markersize=4 if mine else 3,
                zorder=3 if mine else 2,
            )
        axis.set(xscale="log", yscale="log", title=title)
        axis.set_xlabel("sessions" if "key" in metric else "messages in the session")
        axis.grid(visible=True, which="major", alpha=0.3)
    handles: dict[str, Any] = {}
    for axis in axes:
        for handle, text in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(text, handle)
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="lower center",
        ncols=4,
        frameon=False,
        fontsize=9,
    )
    figure.tight_layout(rect=(0, 0.2, 1, 1))
    figure.savefig(folder / "growth.png", dpi=110, metadata={"Software": None})
    figure.savefig(folder / "growth.svg", metadata={"Date": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
