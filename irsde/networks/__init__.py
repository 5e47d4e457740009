"""The networks: of our methods, from a state, the degraded image and the step; of others."""

from irsde.networks.nafnet import ConditionalNAFNet
from irsde.networks.unet import ConditionalUNet

__all__ = ["ConditionalNAFNet", "ConditionalUNet"]
