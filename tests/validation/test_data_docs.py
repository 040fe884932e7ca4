from __future__ import annotations

from ram.validation.data_docs import external_references, finish, offline

PAGE = """<html><head><link rel="stylesheet" href="https://cdn.example.org/a.css">
<style>.x { background: url('https://a.b/c.png') }</style>
<script src="//code.example.org/jquery.js"></script></head><body><nav><img class="n"
 src="https://bucket.example.org/logo.png?dataContextId=1" alt="x"/></nav>
<i class="fas fa-times text-danger" ></i><i class="fas fa-check-circle text-success" ></i>
<a href="https://docs.example.org">words stay</a><a href="../index.html">home</a>
<p class="m-0"> <a data-toggle="collapse" href="#x" aria-expanded="false">Show more info...</a></p><footer><a href="https://n.org">n</a></footer>
</body></html>"""


def test_an_offline_page_keeps_its_words_and_nothing_from_elsewhere() -> None:
    page = offline(PAGE, "b { color: red }")
    assert external_references(PAGE)
    assert not external_references(page)
    assert "words stay" in page
    assert "../index.html" in page
    assert "Show more info..." in page
    assert "✗" in page
    assert "✓" in page
    assert "<script" not in page
    assert "dataContextId" not in page
    assert "b { color: red }" in page


def test_external_references_are_found_however_they_are_written() -> None:
    for reference in ("src='https://a/b.js'", 'href="//a/b.css"', "url(http://a/b.png)", "@import 'x'"):
        assert external_references(reference)
    assert not external_references('<a href="a/b.html"> https://in.words </a><img src="data:image/png;base64,xx">')


def test_the_front_page_shows_the_verdict_and_escapes_data(tmp_path) -> None:
    rule = {
        "name": "r", "description": "No <b>", "passed": False, "severity": "critical", "observed": "1",
        "num_unexpected": 1,
        "examples": [{"caption": "<script>alert(1)</script>"}],
    }  # fmt: skip
    report = {
        "table": "pairs",
        "passed": False,
        "num_rows": 3,
        "expectations": [rule],
        "failures": ["No <b>"],
        "notes": [],
    }
    page = (finish(tmp_path, report) / "index.html").read_text()
    assert "failed" in page
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
