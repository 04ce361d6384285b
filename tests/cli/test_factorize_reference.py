"""The tables of options in the pages are those of the commands."""

from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("command", ["factorize", "project"])
def test_the_reference_of_options_is_current(command):
    from partwise.cli.reference import reference

    page = (DOCS / f"{command}.md").read_text("utf-8")
    begin, end = "<!-- options: begin -->\n", "<!-- options: end -->"
    listed = page.partition(begin)[2].partition(end)[0]
    assert listed.strip() == reference(command).strip(), (
        f"run `python -m partwise.cli.reference docs/{command}.md`"
    )
