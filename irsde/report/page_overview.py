"""The first section of the page: what was run, what is missing, how to read the tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from irsde.perceptual import PAPERS_NETWORK, network_label
from irsde.report.captions import counted
from irsde.report.departures import MARKS
from irsde.report.page_tables import escaped
from irsde.report.rows import Row
from irsde.report.table import Table

MOST_PLACES = 6
FIRST_VERSIONS = ("irsde", "python", "torch", "numpy")
READING = (
    '<h4>How to read the tables</h4><ul class="plain">'
    "<li>± is half of the 95 % interval of the mean: Student's over scenes, since images of one "
    "scene are not independent, and over training seeds, where a method has several.</li>"
    '<li><span class="best">Bold</span> is the best of its column, '
    '<span class="second">underlined</span> the second. ≈ marks a number whose difference from '
    "the best, paired by image, is not resolved; the caption of a table has the rule.</li>"
    + "".join(f"<li>{mark}: {escaped(meaning)}.</li>" for mark, meaning in MARKS.items())
    + '<li><span class="doubtful">Grey</span> is a number that nobody could confirm. n/a is no '
    "number; its cell has the reason.</li>"
    "<li>Headings sort. Every cell opens with a click, or with the arrow keys and Enter: its value "
    "and interval, the evaluations and runs it comes from, and the commands that rebuild it.</li>"
    "</ul>"
)


def facts(rows: Sequence[Row], cards: Mapping[str, Mapping[str, Any]]) -> str:
    """HTML list of what was run: counts, data, protocols, commits, versions, devices.

    Parameters
    ----------
    rows : sequence of Row
        Evaluations.
    cards : mapping
        Folder of a run → its card.
    """
    summaries = [row.summary for row in rows]
    origins = [*summaries, *cards.values()]
    sets = {(row.task, row.dataset): row for row in rows}
    trained = [card for card in cards.values() if card.get("parameters")]
    seeds = ", ".join(map(str, sorted({int(card.get("seed", 0)) for card in trained})))
    scored = sum(len(row.per_image) for row in rows)
    lists = {
        "profile": sorted({summary["profile"] for summary in summaries}),
        "tasks": [", ".join(dict.fromkeys(summary["task_label"] for summary in summaries))],
        "methods": [", ".join(dict.fromkeys(row.label for row in rows))],
        "runs": [
            f"{len(cards)}, of which {len(trained)} trained networks; seeds {seeds or 'none'}"
        ],
        "evaluations": [f"{len(rows)}, of {scored:,} restored images"],
        "test sets": list(dict.fromkeys(_test_set(row) for row in sets.values())),
        "protocols": sorted({_protocol(summary) for summary in summaries}),
        "LPIPS": sorted({_lpips(summary["lpips"]) for summary in summaries}),
        "commits": _commits(origins),
        "versions": [_versions(origins)],
        "devices": sorted({str(c["device"]) for c in cards.values() if c.get("device")}),
    }
    items = "".join(
        f"<dt>{name}</dt><dd>{'<br>'.join(map(escaped, values)) or 'not recorded'}</dd>"
        for name, values in lists.items()
    )
    return f'<dl class="facts">{items}</dl>'


def _test_set(row: Row) -> str:
    data = row.summary["dataset"]
    scenes = row.per_image["scene"].nunique()
    return (
        f"{data['label']}: {counted(len(row.per_image), 'image')} of {counted(scenes, 'scene')}; "
        f"licence: {data.get('licence', 'not stated')}"
    )


def _protocol(summary: Mapping[str, Any]) -> str:
    protocol = summary["protocol"]
    return f"{protocol['name']} v{protocol['version']}: {protocol['label']}"


def _lpips(used: Mapping[str, Any]) -> str:
    if used.get("unavailable"):
        return f"n/a: {used['unavailable']}"
    network = used["network"]
    papers = network_label(PAPERS_NETWORK)
    other = "" if network == PAPERS_NETWORK else f", not the paper's {papers}"
    return network_label(network) + other


def _commits(origins: Sequence[Mapping[str, Any]]) -> list[str]:
    """Commits that results were made at, and whether tracked files differed from them."""
    changed: dict[str, bool] = {}
    for origin in origins:
        name = str(origin.get("commit") or "outside a git checkout")
        changed[name] = changed.get(name, False) or bool(origin.get("dirty"))
    return [
        name + (" with uncommitted changes" if dirty else "")
        for name, dirty in sorted(changed.items())
    ]


def _versions(origins: Sequence[Mapping[str, Any]]) -> str:
    found: dict[str, set[str]] = {}
    for origin in origins:
        for name, version in (origin.get("versions") or {}).items():
            found.setdefault(name, set()).add(str(version))
    order = [*(name for name in FIRST_VERSIONS if name in found)]
    order += sorted(set(found) - set(FIRST_VERSIONS))
    return ", ".join(f"{name} {' and '.join(sorted(found[name]))}" for name in order)


def missing(tables: Sequence[Table]) -> str:
    """HTML list of the cells without a number, by reason."""
    places: dict[str, list[str]] = {}
    for table in tables:
        for line in table.lines:
            for column, cell in zip(table.columns, line.cells, strict=True):
                if cell.text == "n/a" and cell.reason:
                    place = f"{table.title}: {line.cells[0].text}, {column.label}"
                    places.setdefault(cell.reason, []).append(place)
    if not places:
        return "<h4>What is missing</h4><p>Nothing: every cell has a number.</p>"
    items = []
    for reason, found in places.items():
        more = f"; and {len(found) - MOST_PLACES} more" if len(found) > MOST_PLACES else ""
        where = "; ".join(found[:MOST_PLACES]) + more
        items.append(
            f"<details><summary>{escaped(reason)} <span>({counted(len(found), 'cell')})</span>"
            f'</summary><p class="caption">{escaped(where)}</p></details>'
        )
    return f'<h4>What is missing, and why</h4><div class="missing">{"".join(items)}</div>'
