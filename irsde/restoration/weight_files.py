"""Files of weights that come from strangers, read without running what they hold."""

import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from irsde.files import InputError

MAX_BYTES = 8 * 2**30  # the largest released network with both of its EMA copies takes 1.2
PROTOCOL_4 = r"Unsupported operand (147|149)\b"  # its instructions, in torch's words
WRAPPERS = ("params", "params_ema", "state_dict", "model_state_dict", "model", "ema", "network")
TRAINING_STATE = ("optimizer", "optimizers", "optimizer_state_dict", "schedulers", "param_groups")
AVERAGE, RAW = "ema_model.", "online_model."  # what ema_pytorch prefixes the names with
BOOKKEEPING = ("initted", "step")  # of ema_pytorch, beside the weights
OF_TENSORS = re.compile(  # what a pickle of a state dict names
    r"collections\.OrderedDict|torch\._utils\._rebuild_\w+|torch\.nn\.parameter\.Parameter"
    r"|torch\.(\w+Storage|Size|device|Tensor|b?float\d+|u?int\d+|bool)"
    r"|torch\.(storage|_tensor)\.\w+"
)
MAX_PICKLES = 8  # a file of torch's older format has five
MAX_OPERATIONS = 1_000_000


class OtherNetworkError(InputError):
    """Weights that are not those of a network.

    Parameters
    ----------
    message : str
    agreeing : float
        Share of the network's tensors that are there in their shapes.
    """

    def __init__(self, message: str, agreeing: float) -> None:
        super().__init__(message)
        self.agreeing = agreeing


def check_file(file: Path) -> None:
    """Refuse what is no file of a bearable size that may be read, or no PyTorch file."""
    start = check_readable(file)
    if not start.startswith((b"PK\x03\x04", b"\x80")):
        _refuse_code(file)
        raise InputError(f"{file}: not a PyTorch checkpoint (neither a zip archive nor a pickle)")


def check_readable(file: Path) -> bytes:
    """First bytes of a file of a bearable size; others are refused."""
    try:
        if file.is_dir():
            raise InputError(f"{file}: is a folder; give the .pth file")
        if not file.exists():
            raise InputError(
                f"{file}: {'links to nothing' if file.is_symlink() else 'no such file'}"
            )
        if not file.is_file():
            raise InputError(f"{file}: is not a regular file")
        if (size := file.stat().st_size) > MAX_BYTES:
            raise InputError(
                f"{file}: {size / 2**30:.1f} GiB are more than the limit of "
                f"{MAX_BYTES / 2**30:.0f} GiB"
            )
        with file.open("rb") as stream:
            return stream.read(4)
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from None


def load_checkpoint(file: Path) -> object:
    """Content of a PyTorch file that holds tensors and plain containers only."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of foreign pickle protocols: such files are refused
        try:
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive:
                    unpacked = sum(entry.file_size for entry in archive.infolist())
                if unpacked > MAX_BYTES:
                    raise InputError(
                        f"{file}: unpacks to {unpacked / 2**30:.1f} GiB, more than the limit of "
                        f"{MAX_BYTES / 2**30:.0f} GiB"
                    )
            return torch.load(file, map_location="cpu", weights_only=True)
        except InputError:
            raise
        except Exception as error:  # noqa: BLE001 (hostile bytes fail in any way they like)
            if found := re.search(r"GLOBAL (\S+)", str(error)):
                raise _holds_code(file, found[1]) from None
            _refuse_code(file)
            if re.search(PROTOCOL_4, str(error)):
                raise InputError(
                    f"{file}: a pickle of protocol 4 or later, which torch does not read without "
                    "running what it holds; save the state_dict by torch.save with its own protocol"
                ) from None
            raise InputError(
                f"{file}: truncated or damaged, or no PyTorch file of weights only"
            ) from None


def _holds_code(file: Path, name: str) -> InputError:
    return InputError(
        f"{file}: holds a pickled object ({shown(name)}), which could run code "
        "and is not loaded; save the network's state_dict instead"
    )


def _refuse_code(file: Path) -> None:
    """Refuse a file whose pickles name functions or classes beyond those of plain tensors.

    For files that torch gives up on for another reason, such as a later pickle protocol. Nothing
    is unpickled: the operations are listed only.

    Raises
    ------
    InputError
        Naming the first such object.
    """
    with suppress(OSError, ValueError, zipfile.BadZipFile), ExitStack() as stack:
        if zipfile.is_zipfile(file):
            archive = stack.enter_context(zipfile.ZipFile(file))
            names = [name for name in archive.namelist() if name.endswith("data.pkl")]
            streams = [stack.enter_context(archive.open(name)) for name in names[:1]]
        else:
            streams = [stack.enter_context(file.open("rb"))]
        for stream in streams:
            for name in _names_in_pickles(stream):
                if not OF_TENSORS.fullmatch(name):
                    raise _holds_code(file, name)


def _names_in_pickles(stream: IO[bytes]) -> Iterator[str]:
    """Names of the functions and classes that consecutive pickles load; ends where none follows."""
    texts: list[str] = []
    for _ in range(MAX_PICKLES):
        for count, (operation, argument, _) in enumerate(pickletools.genops(stream)):
            if operation.name in ("GLOBAL", "INST"):
                yield str(argument).replace(" ", ".")
            elif operation.name == "STACK_GLOBAL":
                yield ".".join(texts[-2:])
            elif operation.name.startswith("EXT"):
                yield f"extension {argument}"
            elif isinstance(argument, str):
                texts = [*texts[-1:], argument]
            if count > MAX_OPERATIONS:
                return


def state_dict_of(file: Path, content: object) -> tuple[dict[str, Tensor], str]:
    """Weights of one network under their bare names, and words on which they are."""
    if not isinstance(content, dict):
        raise InputError(f"{file}: holds a {type(content).__name__}, not a state dict")
    if state := _tensors(content):
        return _without_prefixes(file, state)
    wrapped = {name: state for name in WRAPPERS if (state := _tensors(content.get(name)))}
    if len(wrapped) > 1:
        raise InputError(
            f"{file}: holds several sets of weights ({first_few(wrapped)}); "
            "save the one you mean as a file of its own"
        )
    if wrapped:
        return _without_prefixes(file, next(iter(wrapped.values())))
    if any(name in content for name in TRAINING_STATE):
        raise InputError(
            f"{file}: holds the state of an optimizer or scheduler, not weights; "
            "give the file of the network, such as latest_G.pth"
        )
    raise InputError(f"{file}: holds no state dict (its keys: {first_few(content) or 'none'})")


def _tensors(content: object) -> dict[str, Tensor] | None:
    """Named tensors of a dict that holds nothing else but bookkeeping; None if it is no such."""
    if not isinstance(content, dict):
        return None
    if not all(isinstance(name, str) for name in content):
        return None
    found = {name: value for name, value in content.items() if name not in BOOKKEEPING}
    return found if all(isinstance(value, Tensor) for value in found.values()) else None


def _without_prefixes(file: Path, state: dict[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """State dict without the prefixes of DataParallel and ema_pytorch; the average is preferred."""
    state = _stripped(state, "module.")
    for prefix, origin in (
        (AVERAGE, "; its moving average (ema_model) was taken"),
        (RAW, "; its raw weights (online_model) were taken, it has no moving average"),
    ):
        if chosen := {n: t for n, t in state.items() if n.startswith(prefix)}:
            others = (name for name in state if not name.startswith((AVERAGE, RAW)))
            if rest := [name for name in others if name not in BOOKKEEPING]:
                raise InputError(
                    f"{file}: holds {len(rest)} tensors beside those of {prefix[:-1]} "
                    f"({first_few(rest)})"
                )
            return _stripped(_stripped(chosen, prefix), "module."), origin
    return state, ""


def _stripped(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """State dict without a prefix that all names have."""
    if not all(name.startswith(prefix) for name in state):
        return state
    return {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def check_tensor(file: Path, name: str, tensor: Tensor) -> None:
    """Refuse what is not plain memory: a small file may claim a tensor of any size."""
    is_plain = tensor.layout is torch.strided and tensor.device.type == "cpu"
    if not is_plain or tensor.untyped_storage().nbytes() < tensor.numel() * tensor.element_size():
        raise InputError(f"{file}: {shown(name)} is not a plain tensor")
    if not tensor.is_floating_point():
        raise InputError(f"{file}: {shown(name)} has the type {tensor.dtype}, not a float")


def finite_weights(file: Path, name: str, tensor: Tensor) -> Tensor:
    """Copy of its own in float32; finite."""
    copy = tensor.detach().to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    if not copy.isfinite().all():
        raise InputError(f"{file}: {name} holds NaN or infinite values")
    return copy


def first_few(names: Iterable[object], count: int = 3) -> str:
    """First few of the names, for a message of one line."""
    listed = [shown(str(name)) for name in names]
    return ", ".join(listed[:count]) + (", ..." if len(listed) > count else "")


def shown(name: str) -> str:
    """Name in a file as it may be printed: without control characters and not too long."""
    return (name if name.isprintable() else ascii(name))[:100]
