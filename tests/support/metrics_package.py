"""An installed package that brings a metric, as `docs/extending.md` shows it."""

from __future__ import annotations

from pathlib import Path

POINTS = "[deocc_bench.metrics]\ncontrast = my_metrics:CONTRAST\n"


def install(site: Path, code: str, points: str = POINTS) -> Path:
    """Write the package to the folder `site`; put that on the path."""
    about = site / "my_metrics-1.0.dist-info"
    about.mkdir(parents=True)
    (site / "my_metrics.py").write_text(code)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-metrics\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(points)
    return site
