"""Photographs inside scikit-image's wheel, written as data sets."""

from importlib.metadata import version

from irsde.data.adopt.placing import catalogue_card
from irsde.data.catalogue import FOLDERS, find_split
from irsde.data.sets import CARD, Record, dataset_folder, write_dataset
from irsde.files import InputError, digest, replacing_folder
from irsde.images import rgb, write_image


def write_photographs(name: str) -> list[str]:
    """Write photographs of scikit-image's wheel as a data set.

    Parameters
    ----------
    name : str
        A split of the catalogue with `photographs`.

    Returns
    -------
    list of str
        A line that says how many.

    Raises
    ------
    InputError
        If scikit-image has no such photograph, or the folder holds something else.
    """
    import skimage.data

    _, split = find_split(name)
    target = dataset_folder(name)
    if target.exists() and not (target / CARD).is_file() and any(target.iterdir()):
        raise InputError(f"{target}: exists and is no data set; move it away")
    records = []
    with replacing_folder(target) as temporary:
        (temporary / FOLDERS["clean"]).mkdir()
        for image in split.photographs:
            try:
                pixels = rgb(getattr(skimage.data, image)())
            except (AttributeError, OSError, ImportError) as error:
                raise InputError(
                    f"{name}.{image}: not a photograph inside scikit-image ({error})"
                ) from None
            file = f"{FOLDERS['clean']}/{image}.png"
            write_image(temporary / file, pixels)
            records.append(Record(image, image, gt=file, gt_sha256=digest(pixels.tobytes())))
        card = catalogue_card(name, f"scikit-image {version('scikit-image')}")
        own = {"licences": dict(split.photographs), "agreement": None, "verified": True}
        write_dataset(temporary, records, card.model_copy(update=own))
    return [f"{target}: {len(records)} photographs of scikit-image"]
