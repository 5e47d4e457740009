"""A page in Chromium, driven by Playwright."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Page, sync_playwright

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


class Tab:
    """One page. `problems` collects exceptions, console errors and refusals of the policy."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.problems: list[str] = []
        self.requests: list[str] = []
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on(
            "console",
            lambda line: (
                self.problems.append(line.text) if line.type in ("error", "warning") else None
            ),
        )
        self.run = page.evaluate  # the value of an expression; promises are waited for
        self.media = page.emulate_media

    def _note(self, line: ConsoleMessage) -> None:
        if line.type in ("error", "warning"):
            self.problems.append(line.text)

    def open(self, path: Path) -> None:
        """Load a file on a screen of 1280 by 900 and wait until its scripts have run."""
        self.resize(1280, 900)
        self.page.goto(path.resolve().as_uri())

    def resize(self, width: int, height: int) -> None:
        self.page.set_viewport_size({"width": width, "height": height})

    def wait(self, expression: str, seconds: float = 10) -> None:
        """Return once an expression is true; the page's policy forbids Playwright's own waiting."""
        end = time.monotonic() + seconds
        while not self.run(expression):
            if time.monotonic() > end:
                raise TimeoutError(expression)
            self.page.wait_for_timeout(20)

    def press(self, key: str, shift: bool = False) -> None:
        self.page.keyboard.press(f"Shift+{key}" if shift else key)

    def middle(self, selector: str) -> tuple[float, float]:
        """Scroll an element into sight and return its middle."""
        x, y = self.run(
            "(() => { const e = document.querySelector(" + json.dumps(selector) + ");"
            "e.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const b = e.getBoundingClientRect();"
            "return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        return x, y

    def click(self, selector: str) -> None:
        self.page.mouse.click(*self.middle(selector))

    def wheel(self, selector: str, dx: float, turned: float) -> None:
        """Turn the wheel beside the middle of an element."""
        x, y = self.middle(selector)
        self.page.mouse.move(x + dx, y)
        self.page.mouse.wheel(0, turned)

    def drag(self, selector: str, dx: float, dy: float) -> None:
        x, y = self.middle(selector)
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + dx, y + dy, steps=2)
        self.page.mouse.up()

    def picture(self, path: Path) -> None:
        self.page.screenshot(path=path)


@contextmanager
def browser() -> Iterator[Tab]:
    """A tab of a fresh browser."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield Tab(started.new_page())
        started.close()
