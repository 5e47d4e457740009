"""The networks: a state, the degraded image and the step to a prediction."""

from irsde.networks.nafnet import ConditionalNAFNet
from irsde.networks.unet import ConditionalUNet

__all__ = ["ConditionalNAFNet", "ConditionalUNet"]
