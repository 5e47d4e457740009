"""Arithmetic of a network evaluation, counted."""

from irsde.experiment.profile import RunSettings
from irsde.methods import method_of


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

    from irsde.restoration.restorer import apply_published, build_network

    with torch.device("meta"), torch.inference_mode():
        network = build_network(settings).eval()
        image = torch.empty(1, 3, height, width)
        with FlopCounterMode(display=False) as counter:
            if method_of(settings.method).kind == "published":
                apply_published(network, image, 0.0)
            else:
                network(image, image, 1)
    return int(counter.get_total_flops()) // 2
