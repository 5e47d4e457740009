"""Networks of MatConvNet in MATLAB 7.3 files, read into PyTorch's convolutions."""

from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor, nn

from irsde.files import InputError
from irsde.restoration.weight_files import MAX_BYTES, OtherNetworkError, shown

SIGNATURE = b"\x89HDF\r\n\x1a\n"
OFFSETS = (0, 512)  # where it may be; MATLAB writes words of its own before it
MOST_LAYERS = 200
SILENT = ("SubP", "concat", "relu")  # layers without weights


def is_matlab(file: Path) -> bool:
    """True if a file begins as HDF5 does, or as MATLAB 7.3 writes it."""
    with file.open("rb") as stream:
        start = stream.read(OFFSETS[-1] + len(SIGNATURE))
    return any(start[offset:].startswith(SIGNATURE) for offset in OFFSETS)


def read_simplenn(file: Path, network: nn.Module) -> dict[str, Tensor]:
    """Weights of the convolutions in `net.layers`, by the names that a network has for them.

    MATLAB's arrays are stored with their axes reversed: a kernel is found as (out, in, x, y).

    Parameters
    ----------
    file : Path
    network : nn.Module
        Its convolutions, in their order, are what the file must hold, shape by shape.

    Returns
    -------
    dict of str to Tensor of float32

    Raises
    ------
    InputError
        If the file is no such network; `OtherNetworkError` if it is another one. Arrays of another
        shape are not read.
    """
    convolutions = [
        (name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d)
    ]
    if file.stat().st_size > MAX_BYTES:
        raise InputError(f"{file}: larger than the limit of {MAX_BYTES / 2**30:.0f} GiB")
    try:
        with h5py.File(file, "r") as content:
            return _weights(file, content, convolutions)
    except InputError:
        raise
    except Exception:  # noqa: BLE001 (hostile bytes fail in any way they like)
        raise InputError(
            f"{file}: damaged, or no MATLAB 7.3 file of a MatConvNet network; get it again"
        ) from None


def _weights(
    file: Path, content: h5py.File, convolutions: list[tuple[str, nn.Conv2d]]
) -> dict[str, Tensor]:
    layers = _dataset(file, content, "net/layers")
    if layers.size > MOST_LAYERS or layers.dtype != h5py.ref_dtype:
        raise InputError(f"{file}: net.layers are not the layers of a network")
    found: dict[str, Tensor] = {}
    waiting = list(convolutions)
    differing: list[str] = []
    for number, reference in enumerate(layers[()].ravel(), 1):
        layer = content[reference]
        kind = _text(_dataset(file, layer, "type"))
        if kind in SILENT:
            continue
        if kind != "conv" or not waiting:
            differing.append(f"layer {number} is a {shown(kind)} that the network lacks")
            continue
        name, module = waiting.pop(0)
        parts = _dataset(file, layer, "weights")
        if parts.size != 2 or parts.dtype != h5py.ref_dtype:
            raise InputError(f"{file}: layer {number} has no kernel and bias")
        kernel, bias = (_own(file, content[part]) for part in parts[()].ravel())
        out, into, height, width = module.weight.shape
        if wrong := _unlike(kernel, (out, into, width, height)) or _unlike(bias, (1, out)):
            differing.append(f"layer {number} holds {wrong}")
            continue
        found[f"{name}.weight"] = _tensor(kernel).transpose(2, 3).contiguous()
        found[f"{name}.bias"] = _tensor(bias).reshape(out)
    if waiting:
        differing.append(
            f"it has {len(convolutions) - len(waiting)} convolutions, the network "
            f"{len(convolutions)}"
        )
    if differing:
        raise OtherNetworkError(f"{file}: {differing[0]}", len(found) / 2 / len(convolutions))
    return found


def _dataset(file: Path, place: object, name: str) -> h5py.Dataset:
    """A dataset inside the file itself: links and storage outside are not followed."""
    for part in name.split("/"):
        link = place.get(part, getlink=True) if isinstance(place, h5py.Group) else None
        if not isinstance(place, h5py.Group) or not isinstance(link, h5py.HardLink):
            raise InputError(f"{file}: has no {name}, or it is elsewhere")
        place = place[part]
    return _own(file, place)


def _own(file: Path, found: object) -> h5py.Dataset:
    if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
        raise InputError(f"{file}: holds something other than arrays of its own")
    return found


def _text(dataset: h5py.Dataset) -> str:
    if dataset.size > 100 or dataset.dtype.kind != "u":
        return "layer of an unknown kind"
    return "".join(map(chr, dataset[()].ravel()))


def _unlike(dataset: h5py.Dataset, shape: tuple[int, ...]) -> str:
    """How an array differs from floats of a shape; empty if it does not."""
    if dataset.shape == shape and dataset.dtype.kind == "f":
        return ""
    return f"{dataset.dtype} of shape {dataset.shape} instead of floats of shape {shape}"


def _tensor(dataset: h5py.Dataset) -> Tensor:
    with np.errstate(over="ignore"):  # infinite ones are refused with those of other files
        return torch.from_numpy(np.asarray(dataset[()], dtype=np.float32))
