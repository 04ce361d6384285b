"""The framed advice of a report."""

from partwise.report import Box, Report, render_report


def test_a_box_has_its_lines_and_a_command_to_copy():
    box = Box("Run <this>", [("Why", "a & b"), ("", "more")], "partwise cluster 'a b.csv' -n 6")
    page = render_report(Report("Title", box=box))
    assert "<h2>Run &lt;this&gt;</h2>" in page
    assert "<dt>Why</dt><dd>a &amp; b</dd>" in page
    assert "<pre><code>partwise cluster &#39;a b.csv&#39; -n 6</code></pre>" in page


def test_no_box():
    assert 'class="box"' not in render_report(Report("Title"))
    assert "<pre>" not in render_report(Report("Title", box=Box("Only words")))
