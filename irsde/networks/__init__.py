"""The networks: a state, the degraded image and the step to a prediction."""

from torch import nn

from irsde.networks.nafnet import ConditionalNAFNet
from irsde.networks.unet import ConditionalUNet

NETWORKS: dict[str, type[nn.Module]] = {"unet": ConditionalUNet, "nafnet": ConditionalNAFNet}

__all__ = ["NETWORKS", "ConditionalNAFNet", "ConditionalUNet"]
