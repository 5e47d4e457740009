"""Energy: joules from what a driver counts."""

from types import SimpleNamespace

import torch

from irsde.cost import EnergyMeter


def test_joules_are_thousandths_of_what_the_driver_counts():
    meter = EnergyMeter(torch.device("cpu"))
    assert meter.joules() is None
    counts = iter((2500, 7250))
    meter._nvml = SimpleNamespace(
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(counts), NVMLError=OSError
    )
    meter._start = meter._millijoules()
    assert meter.joules() == 4.75
