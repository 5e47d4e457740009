"""The page of a report, read as a file and driven in a browser."""

import base64
import contextlib
import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from irsde.experiment.cards import RunCard
from irsde.experiment.summary import Summary
from irsde.files import InputError
from irsde.images import read_image
from irsde.report.judging import Metric
from irsde.report.page import OfTask, headline_table, with_cost, write_page
from irsde.report.page_images import Album
from irsde.report.results import by_table, evaluation_command, read_rows, run_command
from irsde.report.table import Cell, Column, Figure, Line, Table
from tests.browser import BROWSER, browser
from tests.fabricated import cost_table, fabricate, quality_table, summary_of

needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="needs Chromium or Chrome; install one to test the page in a browser"
)
PSNR = Metric("psnr", "PSNR (dB)", higher_is_better=True, decimals=2)
METHODS = ("identity", "regression", "ir-sde", "ddpm")
IMAGES = 300
HOSTILE = '"><img src=x onerror="hacked=1">'
LABEL = "{} </script><script>hacked=1</script>"
PNG = Image.fromarray(np.zeros((4, 4, 3), np.uint8))
VIEWER = "#task-denoising .viewer"
VALUES = "#task-denoising .values"
TABLE = "#denoising-photographs-test"


def compile_page(folders, path, **options):
    """Page of the given evaluations with all that a report gives it."""
    rows = read_rows(folders)
    tables = [quality_table(of_set) for of_set in by_table(rows).values()]
    columns = (Column("method", "method", numeric=False), Column("paper", "PSNR, paper (dB)"))
    lines = (
        Line("a", (Cell("A"), Cell("31.65", 31.65, emphasis="doubtful"))),
        Line("b", (Cell("B"), Cell("n/a", reason="not in the paper"))),
        Line("c", (Cell("C"), Cell("30.00", 30.0))),
    )
    caption = "Quoted, with much to say of it. " * 20
    tables.append(Table("paper", "Paper", "Against the paper", caption, columns, lines))
    figures = Path("reports/figures")
    figures.mkdir(parents=True, exist_ok=True)
    PNG.save(figures / "strip.png")
    figure = Figure("strip", f"Strip {HOSTILE}", "Denoising", HOSTILE, f"A strip {HOSTILE}")
    write_page(
        "made",
        "A small budget.",
        tables,
        cost_table(rows),
        [figure],
        figures,
        rows,
        path,
        **options,
    )
    return path


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Results of two tasks, one of them with hostile names, and their page."""
    folder = tmp_path_factory.mktemp("project")
    with contextlib.chdir(folder):
        folders = fabricate(METHODS, (0, 1, 2), IMAGES, 3, names=(HOSTILE,), label=LABEL)
        folders += fabricate(METHODS[:2], images=4, task="deraining", side=32)
        compile_page(folders, Path("reports/index.html"))
        yield folder, folders


@pytest.fixture(scope="module")
def tab():
    with browser() as tab:
        yield tab


@pytest.fixture
def page(project, tab):
    """The page freshly loaded, on a screen of 1280 by 900; at the end nothing went wrong."""
    tab.problems.clear()
    tab.media(media="screen", color_scheme="light", reduced_motion="no-preference")
    tab.open(project[0] / "reports/index.html")
    tab.wait("document.documentElement.dataset.ready")
    yield tab
    assert tab.problems == []


def embedded(text, name):
    return json.loads(
        re.search(f'<script type="application/json" id="{name}">(.*)</script>', text)[1]
    )


class Elements(HTMLParser):
    """Elements of a page with their attributes, as a browser would find them; all are closed."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in ("br", "img", "link", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


# The file.


def test_same_results_give_the_same_bytes(project):
    again = compile_page(project[1], Path("reports/again.html"))
    assert again.read_bytes() == Path("reports/index.html").read_bytes()


def test_page_names_no_address_on_the_network(project):
    text = Path("reports/index.html").read_text()
    assert not re.search(r"https?:|//[a-z]+\.", re.sub(r'text/plain" id="picture.*', "", text))
    for tag, attributes in Elements(text).found:
        for name in ("src", "href"):
            address = attributes.get(name) or "#"
            assert address.startswith(("#", "data:", "figures/", "../results/")), (tag, address)


def test_hostile_names_stay_text_in_the_file(project):
    text = Path("reports/index.html").read_text()
    elements = Elements(text).found
    assert not [
        attributes for _, attributes in elements if any(k.startswith("on") for k in attributes)
    ]
    scripts = [a.get("type") for tag, a in elements if tag == "script"]
    assert [kind for kind in scripts if kind is None] == [None]
    assert set(scripts) == {None, "application/json", "text/plain"}
    assert embedded(text, "set-0")["images"][0] == HOSTILE
    assert embedded(text, "page-data")["tables"]["table-1"]["lines"][1] == LABEL.format(
        "regression"
    )


def test_tables_are_semantic_and_escaped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    columns = [Column("x", "x", higher_is_better=True)]
    cells = [Cell("1.0", 1.0, emphasis="best"), Cell("n/a", reason='a "quoted" <reason>')]
    lines = [Line(str(k), (Cell("a"), cell)) for k, cell in enumerate(cells)]
    path = Path("page.html")
    write_page("made", "", [small_table("t", columns, lines)], None, [], Path(), [], path)
    found = Elements(path.read_text()).found
    table = found[[tag for tag, _ in found].index("table") :]
    assert [tag for tag, _ in table[:2]] == ["table", "caption"]
    scopes = [attributes["scope"] for tag, attributes in table if tag == "th"]
    assert scopes == ["col", "col", "row", "row"]
    assert [attributes for tag, attributes in table if tag == "td"] == [
        {"class": "numeric best"},
        {"class": "numeric", "title": 'a "quoted" <reason>'},
    ]


def test_every_value_is_in_the_page_with_two_more_decimals_than_the_table(project):
    data = embedded(Path("reports/index.html").read_text(), "set-0")
    rows = read_rows(project[1])
    for method, label in enumerate(METHODS):
        own = [row for row in rows if row.method == label and row.task == "denoising"]
        assert len(data["methods"][method]["rows"]) == len(own)
        for shown, row in zip(data["methods"][method]["rows"], own, strict=True):
            for metric, decimals in (("psnr", 4), ("ssim", 6), ("lpips", 6)):
                expected = row.per_image[metric].round(decimals).tolist()
                assert shown["values"][metric] == expected


def test_infinite_and_absent_values_are_kept_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = fabricate(("identity",), images=2, kept=1)
    path = folders[0] / "per_image.csv"
    path.write_text(
        "image,scene,psnr,ssim,lpips,nfe\nimage_0000,a,inf,1,,0\nimage_0001,b,20,0.5,,0\n"
    )
    data = embedded(compile_page(folders, Path("page.html")).read_text(), "set-0")
    values = data["methods"][0]["rows"][0]["values"]
    assert values["psnr"] == ["inf", 20.0]
    assert values["lpips"] == [None, None]


def test_embedded_images_have_the_pixels_of_the_kept_ones(project):
    text = Path("reports/index.html").read_text()
    pictures = dict(
        re.findall(r'<script type="text/plain" id="picture-(\d+)">([^<]*)</script>', text)
    )
    viewer = embedded(text, "set-0")["viewer"]
    variant = next(v for v in viewer["variants"] if v["method"] == 2 and v["row"] == 1)
    kept = project[1][5] / "images"
    for image, picture in zip(viewer["images"], variant["pictures"], strict=True):
        name = embedded(text, "set-0")["images"][image]
        content = base64.b64decode(pictures[str(picture)])
        shown = np.array(Image.open(io.BytesIO(content)).convert("RGB"))
        np.testing.assert_array_equal(shown, read_image(kept / f"{name}.png"))


def test_images_beyond_the_budget_are_linked_and_the_page_says_so(project):
    path = compile_page(project[1], Path("reports/small.html"), image_budget=30_000)
    text = path.read_text()
    pictures = embedded(text, "page-data")["pictures"]
    linked = [picture["link"] for picture in pictures if "link" in picture]
    inside = re.findall(r'id="picture-\d+">([^<]*)<', text)
    assert 0 < sum(map(len, inside)) <= 30_000
    assert len(linked) == len(pictures) - len(inside) > 0
    assert "are read from the project" in text
    assert "are read from the project" not in Path("reports/index.html").read_text()
    assert all(link.startswith("../") for link in linked)


def test_a_page_with_many_images_has_six_megabytes_at_most(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = fabricate(METHODS[:3], images=20, kept=20, side=160)
    folders += fabricate(METHODS[:2], images=2, kept=2, side=64, task="deraining")
    path = compile_page(folders, Path("reports/index.html"))
    assert 4e6 < path.stat().st_size < 6e6
    pictures = embedded(path.read_text(), "page-data")["pictures"]
    for number in (0, 1):
        of_first = [
            variant["pictures"][0]
            for variant in embedded(path.read_text(), f"set-{number}")["viewer"]["variants"]
        ]
        assert all("type" in pictures[place] for place in of_first)
    assert any("link" in picture for picture in pictures)


@pytest.mark.parametrize("kind", ["photograph", "chart"])
def test_a_figure_is_embedded_in_its_smallest_form(tmp_path, kind):
    generator = np.random.default_rng(0)
    pixels = np.full((200, 300, 3), 255, np.uint8)
    if kind == "photograph":
        pixels = generator.integers(0, 255, pixels.shape, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    shown = Album(tmp_path, 10**6).figure(tmp_path / "a.png", tmp_path / "a.svg")
    content = base64.b64decode(shown.content)
    found = np.array(Image.open(io.BytesIO(content)).convert("RGB"))
    exact = found.shape == pixels.shape and np.array_equal(found, pixels)
    assert exact == (kind == "chart")
    assert len(content) < (tmp_path / "a.png").stat().st_size / 1.5
    (tmp_path / "a.svg").write_text("<svg/>")
    assert (
        Album(tmp_path, 10**6).figure(tmp_path / "a.png", tmp_path / "a.svg").kind.endswith("+xml")
    )


def test_damaged_image_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = fabricate(("identity",), images=2, kept=1)
    (folders[0] / "images/image_0000.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(InputError, match=r"image_0000\.png: not a readable image"):
        compile_page(folders, Path("page.html"))
    assert not Path("page.html").exists()


def test_pairs_outside_of_their_folder_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = fabricate(("identity",), images=2, kept=1)
    table = Path("data/prepared/made/denoising/photographs-test/pairs.csv")
    table.write_text(table.read_text().replace("GT/image_0000", "../../../../../secret"))
    with pytest.raises(InputError, match="is outside"):
        compile_page(folders, Path("page.html"))


def test_page_without_prepared_data_says_that_the_ground_truth_is_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = fabricate(("identity", "ir-sde"), images=2, kept=1)
    Path("data/prepared/made/denoising/photographs-test/pairs.csv").unlink()
    text = compile_page(folders, Path("page.html")).read_text()
    assert "The ground truth is n/a" in text
    truth = next(v for v in embedded(text, "set-0")["viewer"]["variants"] if v["key"] == "truth")
    assert truth["pictures"] == [None]


@pytest.mark.parametrize("suffix", [".png", ".npy"])
def test_degraded_images_come_from_the_pairs_where_no_run_is_the_identity(
    suffix, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    folders = fabricate(("ir-sde",), images=2, kept=1, side=16)
    prepared = Path("data/prepared/made/denoising/photographs-test")
    degraded = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    (prepared / "LQ").mkdir()
    if suffix == ".png":
        Image.fromarray(degraded).save(prepared / "LQ/image_0000.png")
    else:
        np.save(prepared / "LQ/image_0000.npy", degraded.astype(np.float32) / 255)
    with (prepared / "pairs.csv").open() as stream:
        records = list(csv.reader(stream))
    records[1][3] = f"LQ/image_0000{suffix}"
    (prepared / "pairs.csv").write_text("\n".join(map(",".join, records)) + "\n")
    text = compile_page(folders, Path("page.html")).read_text()
    viewer = embedded(text, "set-0")["viewer"]
    assert viewer["sizes"] == [[16, 16]]
    assert viewer["variants"][0]["key"] == "degraded"
    number = viewer["variants"][0]["pictures"][0]
    content = re.search(f'id="picture-{number}">([^<]*)<', text)[1]
    shown = np.array(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))
    np.testing.assert_array_equal(shown, degraded)


def test_commands_rebuild_what_a_cell_is_made_of(project):
    data = embedded(Path("reports/index.html").read_text(), "page-data")
    folder = "results/made/denoising/ir-sde/seed1/evaluations/photographs-test/posterior-100"
    assert data["commands"][folder] == [
        "irsde train --profile made --task denoising --method ir-sde --seed 1",
        "irsde evaluate --run results/made/denoising/ir-sde/seed1 --dataset photographs-test "
        "--sampler posterior --nfe 100",
    ]
    cell = data["tables"]["table-1"]["cells"][2][1]
    assert cell[5] == "irsde explain reports/tables.md:denoising-photographs-test/ir-sde/psnr"
    assert [data["sources"][index] for index in cell[6]] == [
        folder.replace("seed1", f"seed{seed}") for seed in (0, 1, 2)
    ]


CARD = {
    "profile": "made", "task": "denoising", "method": "ir-sde", "seed": 0, "settings": {},
    "label": "IR-SDE", "identity": {}, "parameters": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("further", "command"),
    [
        (
            {"imported_from": {"file": "a b.pth", "sha256": "0"}},
            "irsde weights import 'a b.pth' --profile made",
        ),
        (
            {"derived_from": "results/r", "identity": {"width": "0.07"}},
            "irsde average --run results/r",
        ),
        ({"settings": {"data": {"allow_leakage": True}}}, "irsde train --profile made"),
    ],
)
def test_command_of_a_run_follows_where_its_weights_came_from(further, command):
    made_by = run_command(RunCard.model_validate({**CARD, **further}))
    assert made_by.startswith(command)
    assert ("--allow-leakage" in made_by) == ("settings" in further)


def test_results_made_elsewhere_have_no_training_and_their_own_evaluation():
    assert run_command(RunCard.model_validate({**CARD, "outside": True})) == ""
    given = {"method_label": "My method", "restored": "out; rm -r ."}
    summary = Summary.model_validate(summary_of("outside+mine", **given))
    line = evaluation_command(summary, Path("results/made/denoising/outside+mine/seed0"))
    assert "--restored 'out; rm -r .'" in line
    assert "--name 'My method'" in line


def small_table(key, columns, lines):
    return Table(
        key, key, "T", "", (Column("method", "method", numeric=False), *columns), tuple(lines)
    )


def test_cost_stands_beside_the_line_with_the_same_sources():
    quality = small_table(
        "t-d",
        [Column("psnr", "PSNR (dB)")],
        [
            Line("a", (Cell("A"), Cell("1", 1, sources=("r/a/0", "r/a/1")))),
            Line("b", (Cell("B"), Cell("2", 2, sources=("r/b/0",)))),
        ],
    )
    cost = small_table(
        "cost",
        [Column("psnr", "PSNR (dB)"), Column("seconds", "s")],
        [
            Line("x", (Cell("other"), Cell("0", 0), Cell("9", 9, sources=("r/c/0",)))),
            Line("y", (Cell("A"), Cell("1", 1), Cell("5", 5, sources=("r/a/1",)))),
        ],
    )
    beside = with_cost(quality, cost)
    assert [column.key for column in beside.columns] == ["method", "psnr", "seconds"]
    assert beside.cell("a", "seconds").text == "5"
    assert beside.cell("b", "seconds").reason == "no cost was measured"
    assert with_cost(quality, None) is quality


def test_overview_has_a_line_for_every_method_and_a_reason_where_it_was_not_run():
    first = small_table(
        "t-d",
        [Column("psnr", "PSNR (dB)")],
        [Line("classical", (Cell("Filter"), Cell("1", 1))), Line("x", (Cell("X"), Cell("2", 2)))],
    )
    second = small_table(
        "u-d", [Column("psnr", "PSNR (dB)")], [Line("classical", (Cell("Prior"), Cell("3", 3)))]
    )
    table, commands = headline_table([OfTask("T", first, PSNR), OfTask("U", second, PSNR)])
    assert [line.cells[0].text for line in table.lines] == ["classical", "X"]
    assert table.cell("x", "u-d").reason
    assert commands["classical", "u-d"].endswith("u-d/classical/psnr")
    assert ("x", "u-d") not in commands
    assert headline_table([]) is None


def contrast(first, second):
    """Ratio of the relative luminances of two colours, as WCAG 2.2 defines it."""

    def luminance(color):
        parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted(map(luminance, (first, second)))
    return (high + 0.05) / (low + 0.05)


def test_colours_have_enough_contrast_in_both_schemes(project):
    text = Path("reports/index.html").read_text()
    colors = dict(re.findall(r"--(\w+): light-dark\(([^)]*)\)", text))
    for scheme in (0, 1):
        of = {name: pair.split(", ")[scheme] for name, pair in colors.items()}
        for ground in ("paper", "surface", "raised", "wash"):
            for ink in ("ink", "muted", "accent"):
                assert contrast(of[ink], of[ground]) >= 4.5, (scheme, ink, ground)
        assert contrast(of["field"], of["raised"]) >= 3


# In a browser.


@needs_browser
def test_page_loads_nothing_but_itself(page, project):
    assert {url.split(":")[0] for url in page.requests} <= {"file", "data"}
    files = {url for url in page.requests if url.startswith("file:")}
    assert files == {(project[0] / "reports/index.html").as_uri()}


def column(tab, table, number):
    return tab.run(
        f"[...document.querySelectorAll('{table} tbody tr')]"
        f".map((row) => row.cells[{number}].textContent)"
    )


@needs_browser
def test_headings_sort_best_first_then_backwards_then_as_written(page):
    written = column(page, TABLE, 1)
    heading = f"{TABLE} thead th:nth-child(2)"
    page.click(f"{heading} button")
    assert page.run(f"document.querySelector('{heading}').ariaSort") == "descending"
    best_first = column(page, TABLE, 1)
    assert best_first == sorted(written, reverse=True) != written
    page.press("Enter")
    assert page.run(f"document.querySelector('{heading}').ariaSort") == "ascending"
    assert column(page, TABLE, 1) == sorted(written)
    page.press(" ")
    assert page.run(f"document.querySelector('{heading}').ariaSort") is None
    assert column(page, TABLE, 1) == written
    page.click(f"{TABLE} thead th:nth-child(4) button")
    assert (
        page.run(f"document.querySelector('{TABLE} thead th:nth-child(4)').ariaSort") == "ascending"
    )


@needs_browser
def test_cells_without_a_number_are_sorted_last_both_ways(page):
    for _ in range(2):
        page.click("#paper thead th:nth-child(2) button")
        assert column(page, "#paper", 0)[-1] == "B"


@needs_browser
def test_cell_opens_with_the_keyboard_keeps_the_focus_and_closes_with_escape(page):
    page.run(f"document.querySelector('{TABLE} tbody [tabindex=\"0\"]').focus()")
    for key in ("ArrowDown", "ArrowDown", "End", "Home", "ArrowRight"):
        page.press(key)
    page.press("Enter")
    assert page.run("document.querySelector('dialog').open")
    shown = page.run("document.querySelector('dialog').innerText")
    assert LABEL.format("ir-sde") in shown
    assert "95 % interval" in shown
    assert "irsde train --profile made --task denoising --method ir-sde --seed 2" in shown
    assert "irsde explain reports/tables.md:denoising-photographs-test/ir-sde/psnr" in shown
    for _ in range(12):
        page.press("Tab")
        inside = "document.querySelector('dialog').contains(document.activeElement)"
        assert page.run(f"{inside} || document.activeElement === document.body")
    page.press("Escape")
    assert not page.run("document.querySelector('dialog').open")
    assert page.run("document.activeElement.cellIndex") == 1


@needs_browser
def test_cost_beside_quality_is_hidden_where_it_does_not_fit(page):
    shown = (
        f"[...document.querySelectorAll('{TABLE} thead th')].filter((e) => e.offsetWidth > 0)"
        ".map((e) => e.innerText.trim())"
    )
    assert [name.split()[0] for name in page.run(shown)] == ["method", "PSNR", "SSIM", "LPIPS"]
    page.run(f"document.querySelector('{TABLE} select').focus()")
    page.press("ArrowUp")
    assert [name.split()[0] for name in page.run(shown)] == [
        "method", "PSNR", "SSIM", "LPIPS", "seconds", "peak",
    ]  # fmt: skip


@needs_browser
def test_rows_of_long_tables_are_filtered(page):
    page.run("document.querySelector('#cost input[type=search]').focus()")
    for key in "ddpm":
        page.press(key)
    rows = "[...document.querySelectorAll('#cost tbody tr')].filter((e) => e.offsetHeight).length"
    assert page.run(rows) == 3
    assert page.run("document.querySelector('#cost .count').textContent") == "3 of 12 rows"
    page.press("Tab")
    stops = "document.querySelectorAll('#cost tbody [tabindex=\"0\"]').length"
    assert page.run(stops) == 1
    assert page.run("document.querySelector('#cost tbody [tabindex=\"0\"]').offsetHeight") > 0


@needs_browser
def test_cell_without_a_number_says_why(page):
    page.click("#paper tbody tr:nth-child(2) td")
    assert "not in the paper" in page.run("document.querySelector('dialog').innerText")


@needs_browser
def test_commands_can_be_copied(page):
    page.click(f"{TABLE} tbody tr:nth-child(2) td")
    page.click("dialog .commands button")
    page.wait("document.querySelector('dialog .commands button').textContent === 'Copied'")


@needs_browser
def test_values_of_images_are_sorted_filtered_and_drawn_only_in_sight(page, project):
    rows = "document.querySelectorAll('.values tbody tr:not(.space)').length"
    assert page.run(f"document.querySelector('{VALUES} table').ariaRowCount") == str(IMAGES + 1)
    assert page.run(rows) < 120
    page.click(f"{VALUES} thead th:nth-child(4) button")
    own = [r for r in read_rows(project[1]) if r.method == "regression" and r.task == "denoising"]
    means = np.mean([row.per_image["psnr"] for row in own], axis=0)
    first = f"document.querySelector('{VALUES} tbody tr:nth-child(2)')"
    assert page.run(f"{first}.cells[3].textContent") == f"{means.max():.2f}"
    name = own[0].per_image["image"][int(means.argmax())]
    assert page.run(f"{first}.cells[0].textContent") == name
    page.run(f"document.querySelector('{VALUES} .region').scrollTop = 1e6")
    last = f"[...document.querySelectorAll('{VALUES} tbody tr:not(.space)')].at(-1)"
    page.wait(f"{last}.ariaRowIndex === '{IMAGES + 1}'")
    assert page.run(f"{last}.cells[3].textContent") == f"{means.min():.2f}"
    page.run(f"document.querySelector('{VALUES} input[type=search]').focus()")
    for key in "e_042":
        page.press(key)
    shown = page.run(f"document.querySelector('{VALUES} .count').textContent")
    assert shown == f"2 of {IMAGES} images"
    table = own[0].per_image
    scene = table["scene"].str.contains("e_042") | table["image"].str.contains("e_042")
    mean = page.run(f"document.querySelector('{VALUES} tfoot tr').cells[3].textContent")
    assert mean == f"{means[scene].mean():.2f}"


@needs_browser
def test_best_method_of_each_image_is_bold_and_differences_are_relative(page, project):
    rows = [r for r in read_rows(project[1]) if r.task == "denoising"]
    means = np.array(
        [np.mean([r.per_image["lpips"] for r in rows if r.method == m], axis=0) for m in METHODS]
    )
    choose = (
        "((select, value) => {{ select.value = value;"
        "select.dispatchEvent(new Event('change')); }})"
        f"(document.querySelectorAll('{VALUES} select')[{{}}], '{{}}')"
    )
    page.run(choose.format(0, 2))
    cells = f"[...document.querySelectorAll('{VALUES} tbody tr')[5].cells].slice(2)"
    bold = page.run(f"{cells}.map((cell) => cell.classList.contains('best'))")
    assert bold == [k == means[:, 4].argmin() for k in range(len(METHODS))]
    page.run(choose.format(2, 1))
    expected = means[0, 4] - means[1, 4]
    assert page.run(f"{cells}[0].textContent") == f"{expected:+.4f}".replace("-", "−")
    assert page.run(f"{cells}[1].textContent") == "0.0000"


@needs_browser
def test_one_training_seed_can_be_shown(page, project):
    row = next(r for r in read_rows(project[1]) if r.method == "ddpm" and r.summary.seed == 2)
    page.run(
        f"(() => {{ const s = document.querySelectorAll('{VALUES} select')[1];"
        "s.value = 'seed 2'; s.dispatchEvent(new Event('change')); })()"
    )
    shown = page.run(
        f"document.querySelector('{VALUES} tbody tr:nth-child(2)').cells[5].textContent"
    )
    assert shown == f"{row.per_image['psnr'][0]:.2f}"


@needs_browser
def test_hostile_names_are_shown_as_text(page):
    assert page.run("typeof hacked") == "undefined"
    assert page.run(f"document.querySelector('{VALUES} button.image').textContent") == HOSTILE
    assert page.run(f"document.querySelector('{TABLE} tbody th').textContent") == LABEL.format(
        "identity"
    )
    page.click(f"{VALUES} button.image")
    assert page.run(f"document.querySelector('{VIEWER} .layer img').alt").startswith(HOSTILE)
    assert page.run("document.querySelectorAll('main img:not([alt])').length") == 0


def stage(tab):
    return tab.run(
        f"[...document.querySelectorAll('{VIEWER} .layer img')].map((image) => ({{"
        "shown: image.naturalWidth > 0, pixelated: getComputedStyle(image).imageRendering,"
        "transform: new DOMMatrix(getComputedStyle(image).transform).toFloat64Array().toString(),"
        "clip: getComputedStyle(image.parentElement).clipPath }))"
    )


@needs_browser
def test_divider_is_a_slider_for_keys_and_pointer(page):
    divider = f"document.querySelector('{VIEWER} [role=slider]')"
    page.middle(VIEWER)
    page.wait(f"document.querySelector('{VIEWER} .layer img').naturalWidth > 0")
    page.run(f"{divider}.focus()")
    assert page.run(f"{divider}.ariaValueNow") == "50"
    for key, shift, value in (
        ("ArrowRight", False, 51), ("ArrowUp", True, 61), ("ArrowLeft", False, 60),
        ("Home", False, 0), ("ArrowLeft", False, 0), ("End", False, 100), ("ArrowDown", True, 90),
    ):  # fmt: skip
        page.press(key, shift=shift)
        assert page.run(f"{divider}.ariaValueNow") == str(value)
    assert stage(page)[1]["clip"] == "inset(0px 0px 0px 90%)"
    width = page.run(f"document.querySelector('{VIEWER} .stage').clientWidth")
    page.drag(f"{VIEWER} [role=slider]", -width / 2, 0)
    assert page.run(f"{divider}.ariaValueNow") == "40"


@needs_browser
def test_zoom_and_pan_are_the_same_in_every_image(page):
    page.middle(f"{VIEWER} .stage")
    page.wait(f"document.querySelector('{VIEWER} .layer img').naturalWidth > 0")
    fitted = stage(page)
    assert all(image["shown"] for image in fitted)
    page.run(f"document.querySelector('{VIEWER} .stage').focus()")
    page.press("+")
    page.press("+")
    zoomed = stage(page)
    assert zoomed[0]["transform"] == zoomed[1]["transform"] != fitted[0]["transform"]
    assert zoomed[0]["pixelated"] == "pixelated"
    page.wheel(f"{VIEWER} .stage", 50, -200)
    page.wait(f"parseInt(document.querySelector('{VIEWER} .zoom').textContent) > 3500")
    further = stage(page)
    page.run("window.before = scrollY")
    page.drag(f"{VIEWER} .tag.left", 80, 40)
    moved = stage(page)
    assert moved[0]["transform"] == moved[1]["transform"] != further[0]["transform"]
    page.press("0")
    assert stage(page) == fitted


@needs_browser
def test_grid_shows_the_same_region_of_every_method(page):
    page.middle(VIEWER)
    page.run(f"document.querySelectorAll('{VIEWER} [role=group] .button')[2].click()")
    page.wait(f"document.querySelectorAll('{VIEWER} .stage').length === {len(METHODS) + 1}")
    page.run(f"document.querySelectorAll('{VIEWER} .stage')[3].focus()")
    page.press("+")
    page.press("ArrowRight")
    page.wait(f"[...document.querySelectorAll('{VIEWER} .layer img')].every((i) => i.naturalWidth)")
    assert len({image["transform"] for image in stage(page)}) == 1
    captions = page.run(f"document.querySelector('{VIEWER} .panes').innerText")
    assert captions.count("PSNR") == len(METHODS)
    page.run(f"document.querySelector('{VIEWER} input[type=checkbox]').click()")
    count = page.run(f"document.querySelectorAll('{VIEWER} .stage').length")
    assert count == 2 + 3 * (len(METHODS) - 1)


@needs_browser
def test_difference_of_two_images_is_shown_magnified(page, project):
    page.middle(f"{VIEWER} .stage")
    page.run(f"document.querySelectorAll('{VIEWER} [role=group] .button')[1].click()")
    page.wait(f"[...document.querySelectorAll('{VIEWER} .layer img')].every((i) => i.naturalWidth)")
    page.run(f"document.querySelectorAll('{VIEWER} .tag').forEach((tag) => tag.remove())")
    page.middle(f"{VIEWER} .stage")
    box = page.run(
        f"(({{x, y, width}}) => [x, y, width])"
        f"(document.querySelector('{VIEWER} .layer img').getBoundingClientRect())"
    )
    path = project[0] / "seen.png"
    page.picture(path)
    seen = read_image(path).astype(int)
    folders = [project[1][0], next(f for f in project[1] if "ddpm/seed0" in f.as_posix())]
    left, right = (read_image(f / "images" / f"{HOSTILE}.png").astype(int) for f in folders)
    scale = box[2] / 48
    for row, column in ((20, 20), (24, 30), (30, 25)):
        y, x = (int(start + scale * (k + 0.5)) for start, k in ((box[1], row), (box[0], column)))
        expected = np.minimum(255, 4 * np.abs(left - right)[row, column])
        assert np.abs(seen[y, x] - expected).max() <= 8


@needs_browser
def test_image_of_a_value_opens_in_the_comparison(page):
    page.run(f"document.querySelectorAll('{VALUES} button.image')[2].click()")
    chosen = f"document.querySelector('{VIEWER} select').selectedOptions[0].textContent"
    assert page.run(chosen) == "image_0002"
    assert page.run("document.activeElement.getAttribute('role')") == "slider"


@needs_browser
def test_run_cards_open_with_settings_hashes_and_commands(page):
    page.click("#task-denoising details.card summary")
    page.wait("document.querySelector('details.card .inside') !== null")
    shown = page.run("document.querySelector('details.card').innerText")
    for text in ("irsde train", "training.batch", "0123456789abcdef", "leakage\n", "none found"):
        assert text in shown


@needs_browser
@pytest.mark.parametrize("width", [360, 768, 1280, 1920])
def test_page_never_scrolls_sideways(page, width):
    page.resize(width, 800)
    assert page.run("document.documentElement.scrollWidth") == width


@needs_browser
def test_tables_fit_on_a_screen_of_1280(page):
    wide = (
        "[...document.querySelectorAll('.region')].filter((r) => r.scrollWidth > r.clientWidth)"
        ".map((r) => r.ariaLabel)"
    )
    assert [label for label in page.run(wide) if not label.startswith("Values of")] == []


@needs_browser
def test_colours_follow_the_system_and_the_button(page):
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.run(ground) == "rgb(255, 255, 255)"
    page.media(color_scheme="dark")
    dark = page.run(ground)
    assert dark == "rgb(20, 23, 26)"
    page.run("document.getElementById('theme').click()")
    assert page.run(ground) == "rgb(255, 255, 255)"
    page.run("document.getElementById('theme').click()")
    page.media(color_scheme="light")
    assert page.run(ground) == dark
    page.run("document.getElementById('theme').click()")
    assert page.run(ground) == "rgb(255, 255, 255)"


@needs_browser
def test_motion_is_left_out_on_request(page):
    assert page.run("getComputedStyle(document.documentElement).scrollBehavior") == "smooth"
    page.media(reduced_motion="reduce")
    assert page.run("getComputedStyle(document.documentElement).scrollBehavior") == "auto"


@needs_browser
def test_print_leaves_out_controls_and_shows_whole_tables(page):
    page.media(media="print")
    style = "getComputedStyle(document.querySelector('{}')).{}"
    assert page.run(style.format(".contents", "display")) == "none"
    assert page.run(style.format(".viewer", "display")) == "none"
    assert page.run(style.format(".values .region", "overflow")) == "visible"


@needs_browser
def test_controls_have_names_and_one_heading_leads(page):
    unnamed = page.run(
        "[...document.querySelectorAll('button, select, input, [role=region], [role=slider]')]"
        ".filter((e) => !(e.ariaLabel || (e.labels?.[0] || e).textContent.trim()))"
        ".map((e) => e.outerHTML.slice(0, 200))"
    )
    assert unnamed == []
    assert page.run("document.querySelectorAll('h1').length") == 1
    assert page.run("document.querySelectorAll('main').length") == 1
    page.press("Tab")
    assert page.run("document.activeElement.className") == "skip"
    twice = page.run(
        "(() => { const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);"
        "return ids.filter((id, index) => ids.indexOf(id) !== index); })()"
    )
    assert twice == []


@needs_browser
def test_long_captions_have_two_lines_until_they_are_unfolded(page):
    caption = "document.querySelector('#paper .caption')"
    tall = f"{caption}.querySelector('.text').offsetHeight"
    line = page.run(f"parseFloat(getComputedStyle({caption}).lineHeight)")
    assert page.run(f"{caption}.querySelector('.more').hidden") is False
    assert page.run(tall) <= 2 * line + 1
    page.run(f"{caption}.querySelector('.more').click()")
    assert page.run(tall) > 3 * line
    assert page.run(f"{caption}.querySelector('.more').textContent") == "Less"
    page.run(f"{caption}.querySelector('.more').click()")
    page.wait(f"{tall} <= {2 * line + 1}")
    assert page.run(f"document.querySelector('{TABLE} .more').hidden") is True
    page.media(media="print")
    assert page.run(f"{caption}.offsetHeight") > 3 * line
    page.media(media="screen")


@needs_browser
def test_images_whose_files_are_gone_say_so(project, tab, tmp_path):
    path = compile_page(project[1], Path("reports/alone.html"), image_budget=0)
    alone = tmp_path / "alone.html"
    alone.write_text(path.read_text())
    tab.open(alone)
    tab.middle(VIEWER)
    tab.wait(f"document.querySelector('{VIEWER} .layer.gone') !== null")
    said = tab.run(f"getComputedStyle(document.querySelector('{VIEWER} .gone'), '::after').content")
    assert "not beside this page" in said
    tab.problems.clear()


@needs_browser
def test_linked_images_load(project, tab):
    path = compile_page(project[1], Path("reports/linked.html"), image_budget=0)
    tab.problems.clear()
    tab.open(path)
    tab.middle(VIEWER)
    tab.wait(f"[...document.querySelectorAll('{VIEWER} .layer img')].every((i) => i.naturalWidth)")
    source = tab.run(f"document.querySelector('{VIEWER} .layer img').src")
    assert source.startswith("file:")
    assert tab.problems == []
