"""Live tracking: one process beside those that compute logs what their files hold."""

import os
import sys
import time
from pathlib import Path

from irsde.files import InputError
from irsde.machine.signals import stop_on_signals

SECONDS_BETWEEN = 60.0
SHARE = 0.1  # of the time, at most, that logging may take
SECONDS_ASLEEP = 0.5


def follow(profile: str) -> str:
    """Log a profile's results as they come, until asked to stop or whoever started this is gone.

    What is there then is logged too. A store that cannot be reached is tried again.

    Parameters
    ----------
    profile : str

    Returns
    -------
    str
        One line that says what was logged.

    Raises
    ------
    InputError
        If the last attempt failed.
    """
    starter, known = os.getppid(), dict[Path, int]()
    logged, pause = 0, SECONDS_BETWEEN
    with stop_on_signals(repeated=True) as stop:
        print(f"{profile}: followed, until stopped", flush=True)  # noqa: T201
        while True:
            begin = time.monotonic()
            while time.monotonic() - begin < pause and not stop and os.getppid() == starter:
                time.sleep(SECONDS_ASLEEP)
            is_last = bool(stop) or os.getppid() != starter
            begin = time.monotonic()
            from irsde.tracking.store import sync  # a second or two, and only now

            try:
                logged += sync(profile, known=known)[0]
            except Exception as error:  # noqa: BLE001 - a store fails in ways of its backend
                reason = " ".join(str(error).split())[:200]
                told = f"not logged to MLflow ({reason}); run irsde track sync later"
                if is_last:
                    raise InputError(told) from None
                print(f"irsde: {told}", file=sys.stderr, flush=True)  # noqa: T201
            if is_last:
                return f"{profile}: {logged} logged"
            pause = max(SECONDS_BETWEEN, (time.monotonic() - begin) / SHARE)
