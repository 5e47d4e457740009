"""How quick the page of a large report is: 1000 images, 10 methods, 3 seeds, in a real browser.

`pytest benchmarks/test_page.py --benchmark-only`. Milliseconds are reported and not asserted: until
the scripts of the page have run, to sort and to filter the table of all images, to scroll it and to
change its metric, each up to the second frame after it. Writing the page is what is timed.
"""

from pathlib import Path

import pytest

from irsde.report.page import write_page
from irsde.report.results import read_rows
from tests.browser import BROWSER, browser
from tests.fabricated import cost_table, fabricate, quality_table

METHODS = ("identity", "classical", *(f"method-{k}" for k in range(8)))
VALUES = "document.querySelector('.values')"
CHANGE = "((e, value) => {{ e.value = value; e.dispatchEvent(new Event('{}')); }})"
ACTIONS = {
    "sort": f"{VALUES}.querySelectorAll('thead button')[5].click()",
    "scroll": f"{VALUES}.querySelector('.region').scrollTop = 15000",
    "filter": CHANGE.format("input") + f"({VALUES}.querySelector('input'), '_04')",
    "metric": CHANGE.format("change") + f"({VALUES}.querySelector('select'), '2')",
}


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium or Chrome")
def test_large_page(tmp_path, monkeypatch, benchmark):
    monkeypatch.chdir(tmp_path)
    rows = read_rows(fabricate(METHODS, (0, 1, 2), images=1000, kept=8, side=128))
    page = Path("index.html")
    tables, cost = [quality_table(rows)], cost_table(rows)
    benchmark.pedantic(
        write_page, ("made", "Made.", tables, cost, [], Path("figures"), rows, page), rounds=1
    )
    found = {"megabytes": page.stat().st_size / 1e6}
    with browser() as tab:
        tab.open(page)
        timing = "performance.getEntriesByType('navigation')[0]"
        found["load"] = tab.run(f"{timing}.loadEventEnd")
        found["scripts"] = float(tab.run("document.documentElement.dataset.ready"))
        for name, action in ACTIONS.items():
            found[name] = tab.run(
                "new Promise((done) => { const start = performance.now();"
                f"{action}; requestAnimationFrame(() => requestAnimationFrame("
                "() => done(performance.now() - start))); })"
            )
        assert tab.problems == []
    print("\n" + ", ".join(f"{name} {value:.0f}" for name, value in found.items()) + " (ms)")
    benchmark.extra_info.update(found)
