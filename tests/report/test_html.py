"""The report: self-contained, labelled, escaped, small."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from partwise import figures
from partwise.exceptions import UsageError
from partwise.report import (
    Headline,
    Report,
    ReportFigure,
    ReportTable,
    Section,
    render_report,
    write_report,
)

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "</title></style><iframe src='http://example.org'>",
    "javascript:alert(1)",
    "a\x00b\x08c",
    "&amp; & ü 細胞",
]
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Collect elements and texts, and check that elements nest."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self.open = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def make_report():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.random((7, 3)), index=HOSTILE, columns=HOSTILE[:3])
    table.index.name = HOSTILE[0]
    points = pd.DataFrame(rng.normal(size=(3000, 2)), columns=["PC 1", "PC 2"])
    kinds = pd.Series(rng.choice(np.array(HOSTILE, dtype=object), size=3000))
    shown = [
        ReportFigure(
            figures.programs_heatmap(table), HOSTILE[1], HOSTILE[2], HOSTILE[1], table
        ),
        ReportFigure(
            figures.embedding(points, kinds, group_label=HOSTILE[0]),
            "Cells", "Where they lie.", "A cloud of points.", ReportTable(points, HOSTILE[3], 10),
            fmt="png",
        ),
    ]  # fmt: skip
    return Report(
        title=HOSTILE[3],
        subtitle=HOSTILE[0],
        headlines=[Headline(HOSTILE[0], HOSTILE[1], HOSTILE[2], tone="warn")],
        warnings=HOSTILE,
        summary=HOSTILE,
        sections=[Section(HOSTILE[0], HOSTILE, shown, [ReportTable(table, HOSTILE[1])])],
        methods=HOSTILE,
        citation=HOSTILE,
        command=f"partwise cluster '{HOSTILE[0]}'\n  --n 3",
        parameters=dict.fromkeys(HOSTILE, HOSTILE[1]),
        outputs=dict.fromkeys(HOSTILE, HOSTILE[1]),
        facts={"Threads": 2, "Nothing": None},
    )


@pytest.fixture(scope="module")
def text():
    return render_report(make_report())


def test_nothing_is_loaded_from_anywhere(text):
    page = Page(text)
    names = {tag for tag, _ in page.elements}
    assert not names & {"script", "iframe", "link", "object", "embed", "svg", "form", "base"}
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href"):
                assert value.startswith("data:image/" if tag == "img" else "#")
    style = re.search(r"<style>(.*?)</style>", text, re.S)[1]
    assert "url(" not in style
    assert "@import" not in style
    without_data = re.sub(r"data:image/[a-z+]+;base64,[A-Za-z0-9+/=]+", "", text)
    assert not re.findall(r"https?://(?!example\.org)", without_data)
    policy = page.named("meta")[1]["content"]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_embedded_svg_refers_to_nothing_outside(text):
    found = re.findall(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", text)
    assert found
    for data in found:
        svg = base64.b64decode(data).decode()
        assert re.findall(r'href="([^"]*)"', svg)
        assert all(target.startswith("#") or target.startswith("data:image/png")
                   for target in re.findall(r'href="([^"]*)"', svg))  # fmt: skip
        assert "<script" not in svg


def test_names_are_shown_and_never_obeyed(text):
    page = Page(text)
    joined = "\n".join(page.texts)
    for name in HOSTILE:
        assert name.replace("\x00", "�").replace("\x08", "�") in joined
    assert "49" not in {text.strip() for text in page.texts}


def test_every_image_is_labelled_and_every_figure_has_caption_and_data(text):
    page = Page(text)
    images = page.named("img")
    assert len(images) == 2
    assert images[0]["alt"] == HOSTILE[1]
    assert all(image["alt"].strip() for image in images)
    assert all(200 < int(image["width"]) < 800 for image in images)
    assert len(page.named("figcaption")) == 2
    assert [text for text in page.texts if text.startswith("Data of figure")] == [
        "Data of figure 1",
        "Data of figure 2",
    ]


def test_a_figure_without_description_is_refused():
    with pytest.raises(UsageError, match="'Sizes' needs a text"):
        ReportFigure(Figure(), "Sizes", "", "  ")


def test_order_of_what_matters(text):
    places = [
        text.index(part)
        for part in (
            'class="warnings"',
            'class="headlines"',
            'id="s1"',
            'id="methods"',
            'id="record"',
        )
    ]
    assert places == sorted(places)


def test_links_lead_somewhere_and_ids_are_unique(text):
    page = Page(text)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert {link["href"][1:] for link in page.named("a")} <= set(ids)


def test_long_tables_are_cut_and_say_so(text):
    assert "2,990 more rows are not shown here." in text


def test_an_empty_report_is_a_page():
    page = Page(render_report(Report("Nothing happened")))
    assert "Nothing happened" in page.texts
    assert page.named("section") == [{"id": "record"}]


def test_light_and_dark_and_print(text):
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text


def test_large_svgs_become_pngs():
    tiles = Figure(figsize=(3, 3))
    tiles.add_subplot().pcolormesh(np.random.default_rng(0).random((60, 60)))
    part = ReportFigure(tiles, "Tiles", "Tiles.", "Tiles")
    text = render_report(Report("Large", sections=[Section("All", figures=[part])]))
    assert text.count("data:image/png") == 1
    assert len(text.encode()) < 1_000_000


def test_the_page_is_made_to_stay_small(monkeypatch):
    from partwise.report import html

    assert html.MAX_BYTES == 5_000_000
    monkeypatch.setattr(html, "MAX_BYTES", 250_000)
    parts = []
    for i in range(3):
        figure = Figure(figsize=(3, 3))
        noise = np.random.default_rng(i).random((400, 400))
        figure.add_subplot().imshow(noise, interpolation="none")
        parts.append(ReportFigure(figure, f"Noise {i}", "Noise.", "Noise"))
    text = render_report(Report("Large", sections=[Section("All", figures=parts)]))
    assert text.count("data:image/png") == 3
    assert 20_000 < len(text.encode()) < 250_000


def test_same_report_same_bytes(text):
    assert render_report(make_report()) == text


def test_write_report_replaces_whole_files(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    write_report(path, Report("Done"))
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_template_is_part_of_the_package():
    from importlib.resources import files

    folder = files("partwise.report") / "templates"
    assert {"report.html.j2", "report.css"} <= {entry.name for entry in folder.iterdir()}
