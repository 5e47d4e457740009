"""Tables on the first pages of the project, taken from the tables of the committed study.

``python -m studies.excerpts`` writes them anew between their marks in the files of `PAGES`.
"""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
from tabulate import tabulate

from irsde.files import write_text

ROOT = Path(__file__).resolve().parents[1]
STUDY = ROOT / "reports/study"
PAGES = ("README.md", "reports/study/README.md")
MARKED = re.compile(
    r"^(?P<begin><!-- table: (?P<name>\w+), by python -m studies\.excerpts -->\n)"
    r".*?(?P<end>^<!-- end of table -->)$",
    re.DOTALL | re.MULTILINE,
)
SETS = {
    "Rain100H": "deraining-rain100h-test",
    "Kodak24 blurred": "deblurring-kodak24",
    "CBSD68, σ 25": "denoising-cbsd68",
    "Set14 ×4": "super-resolution-set14-x4",
    "CelebA-HQ, thin masks": "inpainting-celeba-hq-samples-test",
    "SOTS-indoor": "dehazing-sots-indoor-17",
}
METHODS = {
    "identity": "degraded input",
    "classical": "classical (tuned filter)",
    "regression": "direct regression",
    "ir-sde": "IR-SDE, 10 NFE",
    "i2sb": "I2SB, 10 NFE",
}

Cells = dict[tuple[str, str, str], str]


def cells(profile: str) -> Cells:
    """Text of every cell of a profile's committed tables, by table, line and column."""
    table = pd.read_csv(STUDY / profile / "tables.csv", dtype=str, keep_default_na=False)
    return {(row.table, row.line, row.column): row.text for row in table.itertuples()}


def published() -> str:
    """Rows of published tables: as printed, as measured again, and the verdict."""
    lines: dict[str, dict[str, str]] = {}
    for (table, line, column), text in cells("published").items():
        if table == "published-rows":
            lines.setdefault(line, {})[column] = text
    rows = []
    for of in lines.values():
        here = [of[name].split(" ")[0] for name in ("psnr", "ssim")]
        of["here"] = " / ".join(here[: len(of["printed"].split(" / "))])
        rows.append([of[name] for name in ("system", "dataset", "printed", "here", "verdict")])
    head = ["system", "test set", "printed", "measured here", "verdict"]
    return _table(rows, head, ("left", "left", "right", "right", "left"))


def bench() -> str:
    """PSNR and LPIPS of some methods at the budget of `bench`, by test set."""
    found = cells("bench")

    def cell(method: str, table: str) -> str:
        if (table, method, "psnr") not in found:
            return "not run"
        return " / ".join(found[table, method, name].split(" ±")[0] for name in ("psnr", "lpips"))

    rows = [[label, *(cell(method, table) for table in SETS.values())]
            for method, label in METHODS.items()]  # fmt: skip
    return _table(rows, ["", *SETS], ("left", *["right"] * len(SETS)))


def compute(profile: str, of: str) -> str:
    """What each long training reached on a test set, and what a doubling of its iterations gave."""
    lines: dict[str, dict[str, str]] = {}
    for (table, name, column), text in cells(profile).items():
        if table == of:
            lines.setdefault(name, {})[column] = text
    columns = ("psnr", "psnr_doubling", "lpips", "lpips_doubling", "haarpsi", "haarpsi_doubling")
    rows = [
        [line["method"], line["iterations"], *(line[name].split(" ±")[0] for name in columns)]
        for line in lines.values()
    ]
    doubled = "a doubling"
    head = ["", "iterations", "PSNR", doubled, "LPIPS", doubled, "HaarPSI", doubled]
    return _table(rows, head, ("left", *["right"] * (1 + len(columns))))


def _table(rows: list[list[str]], head: list[str], alignments: tuple[str, ...]) -> str:
    return tabulate(rows, head, "pipe", disable_numparse=True, colalign=alignments)


TABLES: dict[str, Callable[[], str]] = {
    "published": published,
    "bench": bench,
    "compute": partial(compute, "compute", "compute-deraining-rain100h-test"),
    "compute_long": partial(compute, "compute-long", "compute-deraining-rain100h-test"),
    "compute_long_denoising": partial(compute, "compute-long", "compute-denoising-kodak24"),
    "compute_denoising": partial(compute, "compute", "compute-denoising-kodak24"),
}


def filled(text: str) -> str:
    """Text of a page with its marked tables as the committed results have them."""
    return MARKED.sub(
        lambda mark: f"{mark['begin']}\n{TABLES[mark['name']]()}\n\n{mark['end']}", text
    )


if __name__ == "__main__":
    for page in PAGES:
        write_text(ROOT / page, filled((ROOT / page).read_text()))
