"""Arithmetic of a network evaluation, counted."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from irsde.restoration.restorer import Restorer


def multiply_accumulates(restorer: Restorer, height: int, width: int) -> int:
    """Multiply-accumulates of one network evaluation on one image, counted, not estimated.

    Matrix products and convolutions count, as PyTorch's own counter has them; sums, norms and
    activations do not. The network is evaluated for it, where it is.

    Parameters
    ----------
    restorer : Restorer
        What has the network.
    height, width : int
        Size of the image in pixels.
    """
    device = next(restorer.network.parameters()).device
    image = torch.zeros(1, 3, height, width, device=device)
    counter = _Counter()
    # not inference mode, in which a linear layer is not yet a product of matrices
    with torch.no_grad(), counter:
        restorer.output(image, image, 1)
    return counter.flops // 2


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts as `torch.utils.flop_counter.FlopCounterMode`, which imports torch's compiler."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: nothing is compiled here, and skipping the compiler imports it."""
        return False

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Do what is asked, and count it if it multiplies."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=result)
        return result
