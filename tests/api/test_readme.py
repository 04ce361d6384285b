"""The Python code in the documents runs as it stands."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
WITH_CODE = [page for page in PAGES if "```python" in page.read_text("utf-8")]


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_runs(page, tmp_path, monkeypatch, capsys):
    """The blocks of a page run in their order, like the cells of a notebook."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    text = page.read_text("utf-8")
    for found in re.finditer(r"```python\n(.*?)```", text, re.S):
        line = text[: found.start()].count("\n") + 1
        exec(compile("\n" * line + found[1], str(page.name), "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


def test_the_ten_lines_are_ten():
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)[1]
    assert len([line for line in code.splitlines() if line.strip()]) <= 10


def test_the_reference_of_options_is_current():
    from partwise.cli.reference import reference

    page = (ROOT / "docs" / "cluster.md").read_text("utf-8")
    begin, end = "<!-- options: begin -->\n", "<!-- options: end -->"
    assert page.partition(begin)[2].partition(end)[0].strip() == reference().strip(), (
        "run `python -m partwise.cli.reference docs/cluster.md`"
    )
