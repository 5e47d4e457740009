"""What restoring takes, exactly.

Seconds, energy and memory of metered blocks, from clocks and counters that are given; arithmetic of
every network, against PyTorch's own counter.
"""

import mmap
import sys
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from irsde.machine import meters
from irsde.machine.meters import Meter, peak_memory, peak_memory_bytes
from irsde.networks import ConditionalNAFNet, ConditionalUNet
from irsde.networks.published import SYSTEMS
from irsde.restoration.cost import multiply_accumulates
from irsde.restoration.restorer import PublishedRestorer, Restorer

NETWORKS = {
    **SYSTEMS,
    "nafnet": partial(ConditionalNAFNet, 3, 8, 1, (1, 2), (1, 1)),
    "nafnet-unconditional": partial(ConditionalNAFNet, 3, 8, 1, (1, 2), (1, 1), False),
    "unet": partial(ConditionalUNet, nf=8, depth=3),
    "unet-unconditional": partial(ConditionalUNet, nf=8, depth=3, conditional=False),
}


def metered(monkeypatch, counts, times):
    counter = partial(next, iter(counts)) if counts else None
    monkeypatch.setattr(meters, "_energy_counter", lambda device: counter)
    given = iter(times)
    monkeypatch.setattr(meters, "time", SimpleNamespace(perf_counter=lambda: next(given)))
    meter = Meter(torch.device("cpu"))
    for _ in range(len(times) // 2):
        with meter.running():
            pass
    return meter


def test_blocks_are_counted_and_what_lies_between_is_not(monkeypatch):
    meter = metered(monkeypatch, (2500, 7250, 10_000, 10_500), (1.0, 3.5, 10.0, 10.25))
    assert meter.seconds == 2.75
    assert meter.joules == 5.25


@pytest.mark.parametrize("counts", [(None, 5, 6, 7), (4, None, 6, 7), (4, 5, 6, None)])
def test_energy_that_was_once_not_counted_is_none(monkeypatch, counts):
    assert metered(monkeypatch, counts, (0.0, 1.0, 2.0, 3.0)).joules is None


def test_without_a_counter_there_is_no_energy(monkeypatch):
    meter = metered(monkeypatch, (), (0.0, 1.5))
    assert (meter.joules, meter.seconds) == (None, 1.5)
    assert set(meter.memory()) == {"peak_memory_bytes"}
    assert set(peak_memory(torch.device("cpu"))) == {"peak_memory_bytes"}


def test_memory_on_a_gpu_is_the_peak_of_the_blocks_above_what_was_held_first(monkeypatch):
    """100 held at first; blocks that start at 100 and 140 and reach 150 and 200 add 50 and 60."""
    monkeypatch.setattr(meters, "_energy_counter", lambda device: None)
    held, peaks = iter((100, 140)), iter((150, 200))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: next(held))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: next(peaks))
    meter = Meter(torch.device("cuda"))
    for expected in (150, 160):
        with meter.running():
            pass
        assert meter.memory()["peak_gpu_memory_bytes"] == expected


def test_the_counter_is_that_of_the_gpu_with_the_same_uuid(monkeypatch):
    class Nvml:
        NVMLError = OSError
        counts = iter((7, None))

        def nvmlInit(self):
            pass

        def nvmlDeviceGetHandleByUUID(self, uuid):
            if uuid != "GPU-12":
                raise self.NVMLError
            return "handle"

        def nvmlDeviceGetTotalEnergyConsumption(self, handle):
            assert handle == "handle"
            if (count := next(self.counts)) is None:
                raise self.NVMLError
            return count

    def counter(device, uuid):
        properties = SimpleNamespace(uuid=uuid)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
        return meters._energy_counter(torch.device(device))

    nvml = Nvml()
    monkeypatch.setattr(meters.importlib, "import_module", lambda name: {"pynvml": nvml}[name])
    energy = counter("cuda", 12)
    assert (energy(), energy()) == (7, None)
    assert counter("cuda", 13) is None
    assert counter("cpu", 12) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can forget a peak")
def test_the_memory_of_an_evaluation_leaves_out_what_was_held_before():
    with mmap.mmap(-1, 400_000_000) as ballast:  # not of malloc, which may keep what is freed
        for place in range(0, len(ballast), mmap.PAGESIZE):
            ballast[place] = 1
        before = peak_memory_bytes()
    later = Meter(torch.device("cpu")).memory()["peak_memory_bytes"]
    assert later < before - 300_000_000


@pytest.mark.parametrize("name", NETWORKS)
def test_arithmetic_is_that_of_pytorchs_counter(name):
    kind = PublishedRestorer if name in SYSTEMS else Restorer
    restorer = kind(NETWORKS[name]().eval(), None, "clean", centered=False, conditional=True)
    counted = multiply_accumulates(restorer, 37, 54)
    restorer.network.to("meta")
    image = torch.empty(1, 3, 37, 54, device="meta")
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        restorer.output(image, image, 1)
    assert counted == counter.get_total_flops() / 2 > 1e6
