"""Make the picture in the README from a real run: `python docs/images/make.py`."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import pandas as pd
from PIL import Image

from partwise import figures
from partwise.workflows import cluster, simulate

HERE = Path(__file__).parent
HEIGHT, GAP = 520, 40


def picture(figure: object, fmt: str = "png") -> Image.Image:
    """Return a figure as an image of the common height."""
    image = Image.open(io.BytesIO(figures.render(figure, fmt, dpi=130))).convert("RGB")
    return image.resize((round(image.width * HEIGHT / image.height), HEIGHT))


with tempfile.TemporaryDirectory() as folder:
    table = simulate(n_cells=20_000, n_fovs=20, mode="anchored", output_dir=folder).outputs["table"]
    found = cluster(table, n_components=6, output_dir=Path(folder) / "results")
    cells = pd.read_csv(found.outputs["clusters"])

programs = pd.DataFrame(
    found.factorization.programs.T,
    index=list(found.features),
    columns=[f"factor {i}" for i in range(1, 7)],
)
counts = pd.crosstab(cells["fov"].str.replace("TEST_", ""), cells["leiden_cluster"], dropna=False)
counts = counts.loc[sorted(counts.index, key=lambda name: int(name.rpartition("_")[2]))]
colors = figures.cluster_colors(list(counts.columns))
parts = [
    picture(figures.programs_heatmap(programs)),
    picture(figures.composition(counts, group_label="", part_label="Cluster", colors=colors)),
]
whole = Image.new("RGB", (sum(part.width + GAP for part in parts) - GAP, HEIGHT), "white")
left = 0
for part in parts:
    whole.paste(part, (left, 0))
    left += part.width + GAP
whole = whole.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
whole.save(HERE / "result.png", optimize=True)
print(HERE / "result.png", (HERE / "result.png").stat().st_size, "bytes")
