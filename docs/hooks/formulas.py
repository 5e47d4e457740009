"""Formulas as MathML when the site is built, so that no page loads a script for them."""

import html
import re
from typing import Any

from latex2mathml.converter import convert

FORMULA = re.compile(r'<(?:span|div) class="arithmatex">\\([(\[])(.*?)\\[)\]]</(?:span|div)>', re.S)


def on_page_content(content: str, **_: Any) -> str:
    """HTML of a page with its formulas in MathML."""
    return FORMULA.sub(_mathml, content)


def _mathml(found: re.Match[str]) -> str:
    display = "inline" if found[1] == "(" else "block"
    formula = html.unescape(found[2]).strip().replace("{aligned}", "{split}")  # the same here
    return convert(formula, display=display)
