"""What a stage takes: seconds, memory and energy."""

import importlib
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from irsde.machine.memory import give_memory_back

if TYPE_CHECKING:
    import torch


def forget_peak_memory() -> None:
    """Count the largest memory from here on, where the system can: Linux."""
    give_memory_back()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_bytes() -> int:
    """Largest resident memory of this process so far, or since it was forgotten, in bytes."""
    # ru_maxrss begins with the memory of the process that started this one
    with suppress(OSError):
        status = Path("/proc/self/status").read_text()
        if found := re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE):
            return int(found[1]) * 1024
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage if sys.platform == "darwin" else usage * 1024


def peak_memory(device: "torch.device") -> dict[str, int]:
    """Largest memory so far: of this process, and of the GPU where one is used, in bytes."""
    peaks = {"peak_memory_bytes": peak_memory_bytes()}
    if device.type == "cuda":
        import torch

        peaks["peak_gpu_memory_bytes"] = torch.cuda.max_memory_allocated(device)
    return peaks


class Meter:
    """What the metered blocks take, and nothing between them: seconds, energy, GPU memory.

    Parameters
    ----------
    device : torch.device
        Device that computes.

    Attributes
    ----------
    seconds : float
        Of all blocks together.
    joules : float or None
        That the whole GPU took meanwhile, as its driver counts it (NVML); None where nothing does.
    """

    def __init__(self, device: "torch.device") -> None:
        self._device = device
        self._millijoules = _energy_counter(device)
        self._held: int | None = None
        self._peak = 0
        forget_peak_memory()
        self.seconds = 0.0
        self.joules: float | None = 0.0 if self._millijoules else None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Meter a block, whose work on a GPU is waited for at both ends."""
        self._wait()
        held = self._start_memory()
        energy, start = self._energy(), time.perf_counter()
        yield
        self._wait()
        self.seconds += time.perf_counter() - start
        used = self._energy()
        if energy is None or used is None or self.joules is None:
            self.joules = None
        else:
            self.joules += (used - energy) / 1000
        self._add_memory(held)

    def memory(self) -> dict[str, int]:
        """Largest memory in bytes: of this process since the meter, and of the blocks on a GPU.

        What others hold there between two blocks, such as networks that score, is not counted.
        """
        peaks = {"peak_memory_bytes": peak_memory_bytes()}
        if self._device.type == "cuda":
            peaks["peak_gpu_memory_bytes"] = self._peak
        return peaks

    def _energy(self) -> int | None:
        return self._millijoules() if self._millijoules else None

    def _wait(self) -> None:
        if self._device.type == "cuda":
            import torch

            torch.cuda.synchronize(self._device)

    def _start_memory(self) -> int:
        if self._device.type != "cuda":
            return 0
        import torch

        torch.cuda.reset_peak_memory_stats(self._device)
        held = torch.cuda.memory_allocated(self._device)
        self._held = held if self._held is None else self._held
        return held

    def _add_memory(self, held: int) -> None:
        if self._device.type != "cuda" or self._held is None:
            return
        import torch

        peak = torch.cuda.max_memory_allocated(self._device)
        self._peak = max(self._peak, self._held + peak - held)


def _energy_counter(device: "torch.device") -> Callable[[], int | None] | None:
    """What reads the millijoules of a GPU's driver (NVML); None where there is no such counter."""
    if device.type != "cuda":
        return None
    import torch

    try:
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
        uuid = torch.cuda.get_device_properties(device).uuid
        handle = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
    except ImportError:
        return None
    except nvml.NVMLError:
        return None

    def millijoules() -> int | None:
        try:
            return int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
        except nvml.NVMLError:
            return None

    return millijoules
