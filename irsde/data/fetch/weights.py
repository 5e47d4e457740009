"""Published weights downloaded into `data/weights/`, each checked by its SHA-256."""

from collections.abc import Iterable

from irsde.data.fetch.downloads import download
from irsde.experiment.published_weights import weights_file, weights_of


def fetch_weights(names: Iterable[str]) -> list[str]:
    """Download files of the catalogue; what is there and agrees is kept.

    Returns
    -------
    list of str
        A line for each.

    Raises
    ------
    InputError
        If a name is unknown, or a file cannot be had or has other bytes.
    """
    lines = []
    for name in dict.fromkeys(names):
        record = weights_of(name)
        target = weights_file(name)
        sha256 = download((record.address,), target, record.sha256)
        lines.append(f"{target}: SHA-256 {sha256[:12]} agrees")
    return lines
