"""One process, or several that share every step: `accelerate launch` and `torchrun` say so in the environment."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ram.training.fsdp import average_whole_gradients, clip_gradient, shard, sharding_wanted

M = TypeVar("M", bound=nn.Module)


class Processes:
    """This process among those that train together; alone unless it was launched with others.

    Every process has the whole model (DDP); or, where accelerate was told `--use_fsdp`, a piece of it (`sharded`).
    """

    def __init__(self) -> None:
        self.world_size = int(os.environ.get("WORLD_SIZE", "1"))
        self.sharded = self.world_size > 1 and sharding_wanted()
        self._accelerator: Any = None
        if self.world_size > 1:
            from accelerate import Accelerator
            from accelerate.utils import DistributedDataParallelKwargs

            # A step without captions leaves the caption branch without a gradient; BatchNorm keeps its statistics.
            handler = DistributedDataParallelKwargs(find_unused_parameters=True, broadcast_buffers=False)
            # The parameter `precision` says what is computed in bfloat16, not accelerate's configuration.
            self._accelerator = Accelerator(
                cpu=not torch.cuda.is_available(), mixed_precision="no", kwargs_handlers=[handler]
            )
            # What processes agree on goes through the CPU: no GPU waits for it.
            self._control: Any = torch.distributed.new_group(backend="gloo")
        self.rank = self._accelerator.process_index if self._accelerator else 0
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self._accelerator:
            self.device = self._accelerator.device

    def __str__(self) -> str:
        return f"{self.world_size} processes, each with {'a piece of the' if self.sharded else 'all'} weights"

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def to_train(self, model: M) -> M:
        """The model to train: the given one; where it will be cut, a copy, and the given one waits on the CPU."""
        if not self.sharded:
            return model.to(self.device)
        # Weights are cut along their first dimension, which wants them contiguous; the backbone's lie channels last.
        own = copy.deepcopy(model).to(self.device).to(memory_format=torch.contiguous_format)
        model.to("cpu")
        return own

    def wrap(self, module: nn.Module, units: Iterable[nn.Module] = ()) -> nn.Module:
        """The module, its gradients averaged over the processes; cut unit by unit where it is to be `sharded`."""
        module.to(self.device)
        if self.sharded:
            shard(module, units, self.device)
            return module
        return self._accelerator.prepare(module) if self._accelerator else module

    def clip_gradient(self, parameters: Sequence[nn.Parameter], limit: float) -> Tensor:
        """Scale the gradients down to a norm of `limit`, if theirs is greater (0: never); the norm before."""
        limit = limit or float("inf")
        if not self.sharded:
            return torch.nn.utils.clip_grad_norm_(parameters, limit)
        average_whole_gradients(parameters)
        return clip_gradient(parameters, limit)

    def total(self, value: Tensor) -> Tensor:
        """The sum of `value` over the processes, without gradient."""
        value = value.detach().clone()
        if self._accelerator:
            torch.distributed.all_reduce(value)
        return value

    def any(self, *facts: bool) -> list[bool]:
        """For each fact whether it holds on any process: all of them then do the same."""
        if not self._accelerator:
            return list(facts)
        held = torch.tensor(facts, dtype=torch.uint8)
        torch.distributed.all_reduce(held, torch.distributed.ReduceOp.MAX, group=self._control)
        return [bool(fact) for fact in held]

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
