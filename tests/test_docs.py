"""The documentation: its site builds without network, its commands are tried or say why not."""

import re
import shlex
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from typer.main import get_command

from irsde.cli import app
from irsde.experiment.keys import profile_keys
from tests.project import PROJECT

DOCS = PROJECT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))  # run by tests/test_tutorials.py
BLOCK = re.compile(r"(?:<!-- ((?:not )?tried): (.*?) -->\n)?^```bash\n(.*?)^```$", re.S | re.M)


def name_of(page):
    return page.relative_to(DOCS).as_posix()


def in_nav(entries):
    """Pages of the navigation."""
    for entry in entries:
        if isinstance(entry, str):
            yield entry
        else:
            for below in entry.values():
                yield from in_nav([below] if isinstance(below, str) else below)


def navigation():
    text = re.sub(r"!!python/\S+", "", (PROJECT / "mkdocs.yml").read_text())
    return list(in_nav(yaml.safe_load(text)["nav"]))


def test_every_page_is_in_the_navigation_once():
    found = navigation()
    assert len(set(found)) == len(found)
    assert {name_of(page) for page in PAGES} <= set(found)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_of_commands_is_tried_or_says_why_not(page):
    for mark, text, block in BLOCK.findall(page.read_text()):
        if mark == "not tried":
            assert len(text.split()) >= 3, text
        elif page in TUTORIALS:
            assert not mark, "tutorials are run as they stand"
        else:
            assert mark == "tried", block
            tests = "\n".join(
                (PROJECT / name).read_text() for name in re.findall(r"tests/\w+\.py", text)
            )
            for word in words_of_irsde(block):
                assert word in tests.replace("-", "_"), (word, text)


def words_of_irsde(block):
    """Subcommands and options that a block gives to irsde, as a test names them."""
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True) if line.startswith("irsde ") else []
        group = len(words) > 1 and words[1] in ("data", "evidence", "export", "track")
        yield from (word.replace("-", "_") for word in words[1 : 3 if group else 2])
        for word in words:
            if word.startswith("--") and word not in ("--task", "--profile", "--run"):
                yield word[2:].replace("-", "_")


class Addresses(HTMLParser):
    """What a page names itself and what it points to."""

    def __init__(self, text):
        super().__init__()
        self.anchors, self.links, self.loaded = set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.anchors |= {values[key] for key in ("id", "name") if values.get(key)}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        elif tag in ("script", "link", "img", "iframe", "source"):
            self.loaded += [values[key] for key in ("src", "href") if values.get(key)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_no_page_loads_anything_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) >= len(navigation())
    for page in pages:
        for address in Addresses(page.read_text()).loaded:
            assert not urlsplit(address).netloc, (page, address)
    for sheet in site.rglob("*.css"):
        assert not re.findall(r"url\([\"']?https?:|@import", sheet.read_text()), sheet


@pytest.mark.slow
def test_every_link_leads_somewhere(site):
    pages = {page: Addresses(page.read_text()) for page in site.rglob("*.html")}
    followed = 0
    for page, found in pages.items():
        for address in [*found.links, *found.loaded]:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc or page.name == "404.html":
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            assert target.exists(), (page, address)
            if parts.fragment and target in pages and not parts.fragment.startswith("__"):
                assert unquote(parts.fragment) in pages[target].anchors, (page, address)
            followed += 1
    assert followed > 1000


@pytest.mark.slow
def test_formulas_are_mathml(site):
    text = (site / "mathematics.html").read_text()
    assert text.count("<math ") >= 80
    for page in site.rglob("*.html"):
        written = re.sub(r"<(code|annotation).*?</\1>", "", page.read_text(), flags=re.S)
        assert 'class="arithmatex"' not in written, page
        assert not re.search(r"\\(frac|sqrt|theta|mu)\b|<mi>&amp;</mi>", written), page


@pytest.mark.slow
def test_the_reference_has_every_command_with_its_options_and_every_key(site):
    commands = unescape((site / "reference/commands.html").read_text())
    keys = unescape((site / "reference/keys.html").read_text())

    def check(command, path):
        for below in getattr(command, "commands", {}).values():
            check(below, f"{path} {below.name}")
        if not hasattr(command, "commands"):
            assert f">{path}<" in commands, path
            for parameter in command.params:
                assert max(parameter.opts, key=len) in commands, (path, parameter.opts)

    check(get_command(app), "irsde")
    for key in profile_keys():
        assert f"<code>{key.path}</code>" in keys, key.path


@pytest.mark.slow
def test_docstrings_of_the_reference_have_their_shapes(site):
    text = (site / "reference/python/samplers.html").read_text()
    assert "shape(B, C, H, W)" in unescape(text)
    assert not Path(site / "hooks").exists()
