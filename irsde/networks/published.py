"""Networks of published systems, by the method that they are of."""

from collections.abc import Callable

from torch import nn

from irsde.networks.aodnet import AODNet, LightDehazeNet
from irsde.networks.dncnn import CDnCNN
from irsde.networks.ffdnet import FFDNet
from irsde.networks.gcanet import GCANet
from irsde.networks.imdn import IMDN
from irsde.networks.prenet import PReNet

SYSTEMS: dict[str, Callable[[], nn.Module]] = {
    "prenet": PReNet,
    "prenet-r": lambda: PReNet(recursive=True),
    "cdncnn-s": CDnCNN,
    "ffdnet": FFDNet,
    "gcanet": GCANet,
    "aod-net": AODNet,
    "light-dehazenet": LightDehazeNet,
    "imdn": IMDN,
}
