"""The way of one image through a process: forward to its terminal state and back."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from irsde.data.pairs import Pair
from irsde.experiment.grid import Evaluation
from irsde.files import write_json
from irsde.images import Pixels, to_float, to_pixels, to_tensor, write_image

if TYPE_CHECKING:
    from torch import Tensor

    from irsde.restoration.restorer import Restorer

SHOWN = 6


@dataclass(frozen=True)
class States:
    """States of one image, as pictures.

    Parameters
    ----------
    image, sampler : str
        Its name; what simulated the reverse process.
    nfe : int
        Network evaluations of the whole way back.
    forward, reverse : dict of int to Pixels
        Step → state, clipped to 8 bits; forward from step 0, reverse from the start to step 0.
    """

    image: str
    sampler: str
    nfe: int
    forward: dict[int, Pixels]
    reverse: dict[int, Pixels]

    def write(self, folder: Path) -> None:
        """Write `forward-<step>.png`, `reverse-<step>.png` and `states.json` into a new folder."""
        folder.mkdir()
        for name, states in (("forward", self.forward), ("reverse", self.reverse)):
            for step, pixels in states.items():
                write_image(folder / f"{name}-{step}.png", pixels)
        write_json(
            folder / "states.json",
            {
                "image": self.image,
                "sampler": self.sampler,
                "nfe": self.nfe,
                "forward": list(self.forward),
                "reverse": list(self.reverse),
            },
        )


class Trail:
    """Collects some states of an image while it is restored.

    Parameters
    ----------
    restorer : Restorer
    pair : Pair
        The image.
    nfe : int
        Network evaluations of the restoration, which has one state more.
    """

    def __init__(self, restorer: "Restorer", pair: Pair, nfe: int) -> None:
        self._restorer, self._pair, self._nfe = restorer, pair, nfe
        self._wanted = set(np.linspace(0, nfe, min(SHOWN, nfe + 1)).round().astype(int).tolist())
        self._seen = 0
        self._reverse: dict[int, Tensor] = {}

    def add(self, step: int, state: "Tensor") -> None:
        """Take the next state, of shape (3, H, W), nominally in [0, 1]."""
        if self._seen in self._wanted or step == 0:
            self._reverse[step] = state.clone()
        self._seen += 1

    def states(self, evaluation: Evaluation) -> States:
        """The states collected, and forward ones of the same steps with noise of their own."""
        import torch

        from irsde.seeds import torch_generator

        process = self._restorer.process
        assert process is not None
        x0, mu = to_tensor([to_float(self._pair.x0)]), to_tensor([self._pair.mu])
        if self._restorer.centered:
            x0, mu = 2 * x0 - 1, 2 * mu - 1
        generator = torch_generator("forward", evaluation.dataset, self._pair.image)
        noise = torch.randn(x0.shape, generator=generator)
        forward = {0: self._pair.x0}
        for step in sorted(set(self._reverse) - {0}):
            state = process.sample(x0, mu, step, noise)[0]
            forward[step] = _pixels((state + 1) / 2 if self._restorer.centered else state)
        reverse = {step: _pixels(state) for step, state in self._reverse.items()}
        return States(self._pair.image, evaluation.options.sampler, self._nfe, forward, reverse)


def _pixels(state: "Tensor") -> Pixels:
    return to_pixels(state.float().cpu().numpy().transpose(1, 2, 0))
