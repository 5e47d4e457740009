"""Live tracking: a process beside the training logs what the run's files hold."""

import subprocess
import sys
import time
from pathlib import Path

SECONDS_BETWEEN = 60.0
PATIENCE = 60.0


class Follower:
    """Starts `irsde track run` now and then; training neither waits for it nor minds its failure.

    Parameters
    ----------
    folder : Path
        Run in training.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self.started = time.monotonic()

    def __call__(self) -> None:
        """Log what is new, unless that was done within the last minute or is being done."""
        busy = self.process is not None and self.process.poll() is None
        if busy or time.monotonic() - self.started < SECONDS_BETWEEN:
            return
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "irsde.cli", "track", "run", str(self.folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def close(self) -> None:
        """Let the last process finish, or end it where its server does not answer."""
        if self.process is None:
            return
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
