"""How far numbers move by the way of scoring alone."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from irsde.files import InputError, read_table
from irsde.protocols import HEADLINES, PROTOCOLS
from irsde.report.cells import (
    ALL_EXACT,
    METHOD,
    exact_text,
    key_of_table,
    named_lines,
    number_text,
    signed,
    titles,
)
from irsde.report.rows import Entry, Row, by_table, entries
from irsde.report.table import Cell, Column, Line, Table
from irsde.report.table_captions import about_exact
from irsde.statistics import mean_estimate, paired_difference

SECTION = "Protocols"


def protocol_tables(rows: Sequence[Row]) -> list[Table]:
    """How far PSNR and SSIM move by the protocol alone, for each task and data set.

    Evaluations without `protocols.csv` are left out.

    Raises
    ------
    InputError
        If a `protocols.csv` is damaged.
    """
    titled = titles(rows)
    tables = []
    for names, of_table in by_table(rows).items():
        group = entries(of_table)
        default = str(of_table[0].summary["protocol"]["name"])
        named = named_lines(group)
        lines: list[Line] = []
        shown: dict[str, None] = {}
        for (key, name), entry in zip(named, group, strict=True):
            rescored = by_protocol(entry)
            if default not in rescored or len(rescored) < 2:
                continue
            for protocol in sorted(rescored, key=lambda p: (p != default, list(rescored).index(p))):
                shown[protocol] = None
                lines.append(_protocol_line(key, name, rescored, protocol, default))
        if lines:
            about_one = [f"{name}: {PROTOCOLS[name].label}" for name in shown]
            tables.append(
                Table(
                    key_of_table(*names, "protocols"),
                    f"{titled[names]}: protocols",
                    SECTION,
                    "The same restored images, scored in different ways: nothing but the protocol "
                    "moves these numbers. PSNR and SSIM are those of each protocol's channel, "
                    f"differences are from protocol {default}, which the other tables use. "
                    f"{'; '.join(about_one)}. "
                    f"{about_exact(cell for line in lines for cell in line.cells)}".strip(),
                    (
                        METHOD,
                        Column("protocol", "protocol", numeric=False),
                        Column("psnr", "PSNR (dB)", higher_is_better=True),
                        Column("psnr_difference", "difference"),
                        Column("ssim", "SSIM", higher_is_better=True),
                        Column("ssim_difference", "difference"),
                    ),
                    tuple(lines),
                )
            )
    return tables


def by_protocol(entry: Entry) -> dict[str, Entry]:
    """The same evaluations under each protocol that all their images were scored under.

    Empty without `protocols.csv`. Small images have no score where a crop leaves too little.
    """
    found: dict[str, list[Row]] = {}
    metrics = [metric for pair in HEADLINES.values() for metric in pair]
    for row in entry.rows:
        path = row.folder / "protocols.csv"
        if not path.is_file():
            return {}
        images = row.per_image["image"]
        try:
            table = read_table(path)
            for protocol, scores in table.groupby("protocol", sort=False):
                of_image = scores.set_index("image")[metrics]
                if protocol in PROTOCOLS and set(images) <= set(of_image.index):
                    columns = {name: of_image.loc[images, name].to_numpy() for name in metrics}
                    scored = row.per_image[["image", "scene"]].assign(**columns)
                    found.setdefault(str(protocol), []).append(replace(row, per_image=scored))
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{path}: cannot be read ({error})") from None
    complete = {name: rows for name, rows in found.items() if len(rows) == len(entry.rows)}
    return {name: Entry(tuple(rows)) for name, rows in complete.items()}


def _protocol_line(
    key: str, name: Cell, rescored: Mapping[str, Entry], protocol: str, default: str
) -> Line:
    cells: list[Cell] = []
    own, usual = PROTOCOLS[protocol].headline, PROTOCOLS[default].headline
    sources = rescored[protocol].sources
    for metric, of_default, decimals in zip(own, usual, (2, 4), strict=True):
        values = rescored[protocol].values(metric)
        others = rescored[default].values(of_default)
        if values is None or others is None:
            cells += [Cell("n/a", reason="not computed for every image", sources=sources)] * 2
            continue
        scenes = rescored[protocol].scenes
        mean = mean_estimate(values, scenes)
        text = f"{number_text(mean.mean, decimals)}{exact_text(mean)}"
        cells.append(Cell(text, mean.mean, sources=sources))
        moved = paired_difference(values, others, scenes, same_runs=True)
        if protocol == default:
            cells.append(Cell("0", 0.0, reason="the other tables use this protocol"))
        elif math.isfinite(moved.mean):
            text = f"{signed(moved.mean, decimals)}{exact_text(moved)}"
            cells.append(Cell(text, moved.mean, sources=sources))
        else:
            cells.append(Cell("n/a", reason=ALL_EXACT, sources=sources))
    return Line(f"{key}-{protocol}", (name, Cell(protocol), *cells))
