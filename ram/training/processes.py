"""One process, or several that share every step: `accelerate launch` and `torchrun` say so in the environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Processes:
    """This process among those that train together; alone unless it was launched with others."""

    def __init__(self) -> None:
        self.world_size = int(os.environ.get("WORLD_SIZE", "1"))
        self._accelerator: Any = None
        if self.world_size > 1:
            from accelerate import Accelerator
            from accelerate.utils import DistributedDataParallelKwargs

            # A step without captions leaves the caption branch without a gradient; BatchNorm keeps its statistics.
            handler = DistributedDataParallelKwargs(find_unused_parameters=True, broadcast_buffers=False)
            self._accelerator = Accelerator(cpu=not torch.cuda.is_available(), kwargs_handlers=[handler])
        self.rank = self._accelerator.process_index if self._accelerator else 0
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self._accelerator:
            self.device = self._accelerator.device

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module, its gradients averaged over the processes."""
        module.to(self.device)
        return self._accelerator.prepare(module) if self._accelerator else module

    def total(self, value: Tensor) -> Tensor:
        """The sum of `value` over the processes, without gradient."""
        value = value.detach().clone()
        if self._accelerator:
            torch.distributed.all_reduce(value)
        return value

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The main process runs the block, then the others: what it writes they find."""
        if not self.is_main:
            self.wait()
        yield
        if self.is_main:
            self.wait()

    def wait(self) -> None:
        """Return when every process has come here."""
        if self._accelerator:
            self._accelerator.wait_for_everyone()
