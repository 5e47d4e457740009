"""Tables as Markdown, LaTeX and lines of a CSV file."""

import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import PurePosixPath

import pandas as pd
from pylatexenc.latexencode import (
    RULE_DICT,
    RULE_REGEX,
    UnicodeToLatexConversionRule,
    UnicodeToLatexEncoder,
)
from tabulate import tabulate

from irsde.experiment.recorded import RecordedCell
from irsde.report.table import Cell, Column, Figure, Table

ROOT = "../"  # from reports/ to the project

INTERVAL = re.compile(r" (?:±|\[)")  # what follows a number is not emphasised

LONG = 30  # characters from which a column of words is wrapped in LaTeX

LONG_TABLE = 30  # lines from which a LaTeX table may break over pages

PREAMBLE = r"""\documentclass[10pt]{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{lmodern}
\usepackage[a4paper,landscape,margin=15mm]{geometry}
\usepackage{array,booktabs,longtable,textcomp}
\usepackage[font=small,labelfont=bf,skip=4pt]{caption}
\setlength{\tabcolsep}{4pt}
\setlength{\LTcapwidth}{\linewidth}
\begin{document}
"""

OWN_SPELLING = {'"': r"\textquotedbl{}", "[": "{[}", "]": "{]}", "|": r"\textbar{}", "\n": " "}

UNPRINTED = re.compile(  # by the fonts of the preamble
    "[^\n -~\xa0-ĥĨ-ķĹ-ľŁ-ňŊ-ťŨ-žΑ-ΡΣ-ώϑϕ‐‒-‖‘-‚“-„†-•…‰′″⁰ⁱ⁴-₎€™←-↙∂∆∇∈∏∑−√∞∫≈≠≡≤≥]"
)

ENCODER = UnicodeToLatexEncoder(
    conversion_rules=[
        UnicodeToLatexConversionRule(RULE_DICT, {ord(k): v for k, v in OWN_SPELLING.items()}),
        UnicodeToLatexConversionRule(
            RULE_REGEX, [(UNPRINTED, lambda found: f"U+{ord(found[0]):04X}")]
        ),
        "defaults",
    ],
    replacement_latex_protection="braces-after-macro",
    unknown_char_policy="keep",
    unknown_char_warning=False,
)


def full_caption(table: Table) -> str:
    """A table's caption, and why cells say n/a where the caption does not tell."""
    columns_of: dict[str, dict[str, None]] = {}
    for line in table.lines:
        for column, cell in zip(table.columns, line.cells, strict=True):
            if cell.text == "n/a" and cell.reason and cell.reason.rstrip(".") not in table.caption:
                columns_of.setdefault(cell.reason.rstrip("."), {})[column.label] = None
    notes = [f"n/a in {', '.join(labels)}: {reason}." for reason, labels in columns_of.items()]
    return " ".join([table.caption, *notes]).strip()


# Markdown.


def markdown(table: Table, root: str = ROOT) -> str:
    """A table in Markdown's pipe format.

    Parameters
    ----------
    table : Table
    root : str
        Prefix that leads from the file to the project's folder; the name of a line links to the
        card of the run that it comes from.
    """
    body = [
        [
            _linked(_markdown_cell(cell), cell, root) if place == 0 else _markdown_cell(cell)
            for place, cell in enumerate(line.cells)
        ]
        for line in table.lines
    ]
    return tabulate(
        body,
        [_markdown_text(column.heading) for column in table.columns],
        tablefmt="pipe",
        colalign=["right" if column.numeric else "left" for column in table.columns],
        disable_numparse=True,
        preserve_whitespace=False,
    )


def _markdown_cell(cell: Cell) -> str:
    before, after = {
        "": ("", ""),
        "best": ("**", "**"),
        "second": ("<u>", "</u>"),
        "doubtful": ("*", "*"),
    }[cell.emphasis]
    number, interval = _parts(cell.text)
    mark = f" {_markdown_text(cell.mark)}" if cell.mark else ""
    rest = f" {_markdown_text(interval)}" if interval else ""
    return f"{before}{_markdown_text(number)}{after}{rest}{mark}"


def _parts(text: str) -> tuple[str, str]:
    """A number, and its interval where it has one."""
    interval = INTERVAL.search(text)
    return (text[: interval.start()], text[interval.start() :]) if interval else (text, "")


def _markdown_text(text: str) -> str:
    """Text on one line in which nothing is taken for a mark or a tag."""
    one_line = " ".join(text.split())
    for character in "\\|*_`<>":
        one_line = one_line.replace(character, f"\\{character}")
    return one_line


def _linked(text: str, cell: Cell, root: str) -> str:
    if not cell.sources:
        return text
    address = f"{root}{run_of(cell.sources[0])}/run.json".replace(" ", "%20")
    return f"[{text.replace('[', '(').replace(']', ')')}]({address})"


def run_of(source: str) -> str:
    """Folder of the run that a source is or belongs to.

    Examples
    --------
    >>> run_of("results/quick/deraining/ir-sde/seed0/evaluations/kodak24/posterior-100")
    'results/quick/deraining/ir-sde/seed0'
    >>> run_of("results/quick/deraining/ir-sde/seed0")
    'results/quick/deraining/ir-sde/seed0'
    """
    path = PurePosixPath(source)
    of_evaluation = len(path.parts) > 3 and path.parts[-3] == "evaluations"
    return path.parents[2].as_posix() if of_evaluation else source


def document(profile: str, budget: str, tables: Sequence[Table], figures: Sequence[Figure]) -> str:
    """Text of `tables.md`.

    Parameters
    ----------
    profile : str
        Name of the profile.
    budget : str
        Its caption, shown once above all tables.
    tables : sequence of Table
        Without timings: the file is the same byte for byte wherever it is made.
    figures : sequence of Figure
        Those that a table names are shown below it.
    """
    of_key = {figure.key: figure for figure in figures}
    parts = [f"# Results of the profile `{profile}`\n"]
    parts += [f"{budget.strip()}\n"] if budget.strip() else []
    parts.append(
        "Where a number comes from: `irsde explain reports/tables.md:<table>/<row>/<column>`, with "
        "the key of the table (below its heading), of the row (a method such as `ir-sde`) and of "
        "the column (such as `psnr`). "
        "`irsde explain reports/tables.md:<table>` lists them.\n"
    )
    shown: set[str] = set()
    for section, group in groupby(sorted_by_section(tables), key=lambda table: table.section):
        parts.append(f"## {section}\n")
        for table in group:
            parts += [f"### {table.title}\n"] if table.title != section else []
            parts += [f"Table `{table.key}`. {full_caption(table)}\n", markdown(table) + "\n"]
            if table.figure in of_key and table.figure not in shown:
                figure = of_key[table.figure]
                shown.add(figure.key)
                alternative = _markdown_text(figure.alternative or figure.title)
                parts.append(f"![{alternative}](figures/{figure.key}.png)\n")
    return "\n".join(parts)


def sorted_by_section(tables: Sequence[Table]) -> list[Table]:
    """Tables of one section together, sections in the order in which they first come."""
    order = list(dict.fromkeys(table.section for table in tables))
    return sorted(tables, key=lambda table: order.index(table.section))


def cost_document(profile: str, cost: Table) -> str:
    """Text of `cost.md`: seconds, memory and energy, which differ from run to run."""
    return f"# Cost of the profile `{profile}`\n\n{full_caption(cost)}\n\n{markdown(cost)}\n"


# LaTeX.


def latex(table: Table) -> str:
    """A table for LaTeX with the packages of `PREAMBLE`.

    It is a float with caption and the label ``tab:<key>``, or, from 30 lines on, a `longtable`.
    """
    places = range(len(table.columns))
    columns = " ".join(
        _latex_column(table.columns[k], [line.cells[k] for line in table.lines]) for k in places
    )
    head = " & ".join(_latex_heading(column) for column in table.columns) + r" \\"
    marks = [max((line.cells[k].mark for line in table.lines), key=len, default="") for k in places]
    body = [
        " & ".join(_latex_cell(line.cells[k], marks[k]) for k in places) + r" \\"
        for line in table.lines
    ]
    caption = (
        rf"\caption{{\textbf{{{latex_text(table.title)}.}} {latex_text(full_caption(table))}}}"
        rf"\label{{tab:{table.key}}}"
    )
    if len(table.lines) >= LONG_TABLE:
        lines = [
            rf"{{\footnotesize\begin{{longtable}}{{@{{}}{columns}@{{}}}}",
            rf"{caption} \\",
            *(r"\toprule", head, r"\midrule", r"\endfirsthead"),
            *(r"\toprule", head, r"\midrule", r"\endhead"),
            *(r"\bottomrule", r"\endfoot"),
            *body,
            r"\end{longtable}}",
        ]
    else:
        lines = [
            r"\begin{table}[htbp]\centering\footnotesize",
            caption,
            rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}",
            *(r"\toprule", head, r"\midrule", *body, r"\bottomrule"),
            r"\end{tabular}",
            r"\end{table}",
        ]
    return "\n".join(lines) + "\n"


def _latex_column(column: Column, cells: Sequence[Cell]) -> str:
    if column.numeric:
        return "r"
    longest = max((len(cell.text) for cell in cells), default=0)
    return "l" if longest < LONG else r">{\raggedright\arraybackslash}p{5cm}"


def _latex_heading(column: Column) -> str:
    """Heading in lines of a few words, so that it is not wider than the numbers below it."""
    lines: list[str] = []
    for word in column.heading.split():
        short = lines and (len(lines[-1]) + len(word) < 13 or len(word) == 1)
        lines[-1:] = [f"{lines[-1]} {word}"] if short else [*lines[-1:], word]
    side = "r" if column.numeric else "l"
    if len(lines) < 2:
        return latex_text(column.heading)
    inner = r" \\ ".join(latex_text(line) for line in lines)
    return rf"\begin{{tabular}}[b]{{@{{}}{side}@{{}}}}{inner}\end{{tabular}}"


def _latex_cell(cell: Cell, longest_mark: str) -> str:
    """Text of a cell; one without a mark leaves room for it, so that numbers stay aligned."""
    command = {"": "", "best": r"\textbf", "second": r"\underline", "doubtful": r"\textit"}
    number, interval = _parts(cell.text)
    text = latex_text(number)
    if cell.emphasis:
        text = f"{command[cell.emphasis]}{{{text}}}"
    mark = f"~{latex_text(cell.mark or longest_mark)}" if longest_mark else ""
    mark = mark if cell.mark or not mark else rf"\hphantom{{{mark}}}"
    return f"{text}{latex_text(interval)}{mark}"


def latex_text(text: str) -> str:
    r"""Text that LaTeX prints as it is; of a character that it lacks, the code.

    Examples
    --------
    >>> latex_text("100 % of x_0")
    '100 \\% of x\\_0'
    >>> latex_text("σ and 雨")
    '\\ensuremath{\\sigma} and U+96E8'
    """
    return str(ENCODER.unicode_to_latex(text))


def latex_document(tables: Sequence[Table]) -> str:
    """All tables as one document that compiles on its own."""
    parts = [PREAMBLE]
    for section, group in groupby(sorted_by_section(tables), key=lambda table: table.section):
        parts.append(rf"\clearpage\section*{{{latex_text(section)}}}" + "\n")
        parts += [latex(table) for table in group]
    return "\n".join([*parts, r"\end{document}", ""])


# CSV.


def csv_lines(tables: Sequence[Table]) -> pd.DataFrame:
    """One line for each cell: table, line, column, value, low, high, text, reason."""
    return pd.DataFrame(
        [
            {
                "table": table.key,
                "line": line.key,
                "column": column.key,
                "value": cell.value,
                "low": cell.low,
                "high": cell.high,
                "text": f"{cell.text} {cell.mark}".strip(),
                "reason": cell.reason,
            }
            for table in tables
            for line in table.lines
            for column, cell in zip(table.columns, line.cells, strict=True)
        ],
        columns=["table", "line", "column", "value", "low", "high", "text", "reason"],
    )


def shown(cell: RecordedCell) -> str:
    """What a cell of the lineage shows: text and mark."""
    return " ".join(filter(None, (cell.text, cell.mark)))
