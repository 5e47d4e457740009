"""What restoring costs: multiply-accumulates, memory, energy."""

import importlib
from typing import TYPE_CHECKING, Any

from irsde.config import RunSettings
from irsde.provenance import peak_memory_bytes

if TYPE_CHECKING:
    import torch


def multiply_accumulates(settings: RunSettings, height: int, width: int) -> int:
    """Multiply-accumulates of one network evaluation on one image, counted, not estimated.

    Matrix products and convolutions count, as PyTorch's own counter has them; sums, norms and
    activations do not.

    Parameters
    ----------
    settings : RunSettings
        Of a run with a network.
    height, width : int
        Size of the image in pixels.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from irsde.restoration import build_network

    with torch.device("meta"), torch.inference_mode():
        network = build_network(settings).eval()
        image = torch.empty(1, 3, height, width)
        with FlopCounterMode(display=False) as counter:
            network(image, image, 1)
    return int(counter.get_total_flops()) // 2


def peak_memory(device: "torch.device") -> dict[str, int]:
    """Largest memory so far: of this process, and of the GPU where one is used, in bytes."""
    found = {"peak_memory_bytes": peak_memory_bytes()}
    if device.type == "cuda":
        import torch

        found["peak_gpu_memory_bytes"] = torch.cuda.max_memory_allocated(device)
    return found


class EnergyMeter:
    """Energy that a GPU takes from now on, as its driver counts it (NVML)."""

    def __init__(self, device: "torch.device") -> None:
        self._handle: Any = None
        self._nvml: Any = None
        if device.type == "cuda":
            self._handle, self._nvml = _nvml_handle(device)
        self._start = self._millijoules()

    def joules(self) -> float | None:
        """Joules of the whole GPU since this meter was made; None where nothing counts them."""
        now = self._millijoules()
        return None if now is None or self._start is None else (now - self._start) / 1000

    def _millijoules(self) -> int | None:
        if self._nvml is None:
            return None
        try:
            return int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle))
        except self._nvml.NVMLError:
            return None


def _nvml_handle(device: "torch.device") -> tuple[Any, Any]:
    """NVML's handle of a GPU and its module; None for both where they are absent."""
    import torch

    try:
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
        uuid = torch.cuda.get_device_properties(device).uuid
        return nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}"), nvml
    except ImportError:
        return None, None
    except nvml.NVMLError:
        return None, None
