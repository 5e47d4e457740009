"""Pages made of what lies elsewhere in the repository: its files, the commands, the keys.

A link that leads out of `docs/` is the one that GitHub needs; here it leads to the page made of its
target, or to a copy of the file.
"""

import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import reference
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
STUDY = "reports/study"
MOVED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "workflow/config/README.md": "reference/keys.md",
}
LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
IMAGE = re.compile(r"!\[((?:\\.|[^\]\\])*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"(^```.*?^```$)", re.M | re.S)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Files of the site: those of docs/, what is made, and the files that pages link to."""
    study = [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / STUDY).rglob("*.md"))
        if "results" not in path.parts
    ]
    for path in [*(name for name in MOVED if name != "workflow/config/README.md"), *study]:
        _add(files, config, page_of(path), path)
    made = {
        "reference/commands.md": reference.commands(),
        "reference/keys.md": reference.keys(),
        "reference/methods.md": reference.methods(),
        "study/bench/figures.md": reference.figures(ROOT / STUDY / "bench/figures"),
    }
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    for file in list(files.documentation_pages()):
        for target in _targets(file.src_uri, file.content_string):
            if page_of(target) not in files.src_uris and (ROOT / target).is_file():
                _add(files, config, page_of(target), target)
    return files


def _add(files: Files, config: MkDocsConfig, uri: str, path: str) -> None:
    files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))


def page_of(path: str) -> str:
    """Where a file of the repository lies in the site; both from their roots."""
    if path in MOVED:
        return MOVED[path]
    for folder, place in (("docs/", ""), (f"{STUDY}/", "study/")):
        if path.startswith(folder):
            return place + path.removeprefix(folder)
    return f"files/{path}"


def path_of(uri: str) -> str:
    """File of the repository that a page is made of, or would be."""
    back = {page: path for path, page in MOVED.items()}
    if uri.startswith("study/"):
        return f"{STUDY}/{uri.removeprefix('study/')}"
    return back.get(uri, f"docs/{uri}")


def _targets(uri: str, text: str) -> Iterator[str]:
    """Files of the repository that a page links to."""
    for _, link, _, _ in LINK.findall(FENCE.sub("", text)):
        if not re.match(r"[a-z]+:", link):
            target = _resolved(uri, link)
            if target is not None:
                yield target


def _resolved(uri: str, link: str) -> str | None:
    target = posixpath.normpath(posixpath.join(posixpath.dirname(path_of(uri)), link))
    if (ROOT / target).is_dir():
        pages = [f"{target}/{name}" for name in ("README.md", "index.md", "tables.md")]
        target = next((page for page in pages if (ROOT / page).is_file()), "")
    return target or None


def _if_committed(uri: str) -> Callable[[re.Match[str]], str]:
    """Keep an image of the study, or say that it is not in git: its licence may not allow that."""

    def kept(found: re.Match[str]) -> str:
        there = (ROOT / posixpath.dirname(path_of(uri)) / found[2]).is_file()
        return found[0] if there else f"(A figure that is not in git: {found[1]})"

    return kept


def on_page_markdown(markdown: str, page: Page, files: Files, **_: Any) -> str:
    """Text of a page, whose links lead to where things lie in the site."""
    uri = page.file.src_uri

    def moved(found: re.Match[str]) -> str:
        start, link, anchor, end = found[1], found[2], found[3] or "", found[4]
        if re.match(r"[a-z]+:", link) or link.startswith("/"):
            return found[0]
        target = _resolved(uri, link)
        if target is None or not ((ROOT / target).is_file() or page_of(target) in files.src_uris):
            raise PluginError(f"{path_of(uri)}: {link}: nothing there")
        place = page_of(target)
        relative = posixpath.relpath(place, posixpath.dirname(uri) or ".")
        return f"{start}{relative}{anchor}{end}"

    if uri.startswith("study/"):
        markdown = IMAGE.sub(_if_committed(uri), markdown)
    parts = FENCE.split(markdown)
    return "".join(part if k % 2 else LINK.sub(moved, part) for k, part in enumerate(parts))
