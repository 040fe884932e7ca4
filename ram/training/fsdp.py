"""Weights, gradients and optimizer state cut into one piece a process (FSDP2), and gathered again to be saved."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor


def sharding_wanted() -> bool:
    """Whether `accelerate launch --use_fsdp`, or its configuration file, asked for it. `ValueError` for what is not supported."""
    if os.environ.get("ACCELERATE_USE_FSDP", "false").lower() != "true":
        return False
    if os.environ.get("FSDP_VERSION", "2") != "2":
        raise ValueError(f"fsdp_version is {os.environ['FSDP_VERSION']}; only 2 is supported: --fsdp_version 2")
    if os.environ.get("FSDP_OFFLOAD_PARAMS", "false").lower() == "true":
        raise ValueError("fsdp_offload_params is true, which is not supported; set it to false")
    return True


def shard(module: nn.Module, units: Iterable[nn.Module], device: torch.device) -> None:
    """Cut the module's parameters over all processes, in place. A unit is whole only while it computes."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    reshard = os.environ.get("FSDP_RESHARD_AFTER_FORWARD", "true").lower() != "false"
    for unit in units:
        fully_shard(unit, mesh=mesh, reshard_after_forward=reshard)
    fully_shard(module, mesh=mesh, ignored_params=set(_scalars(module)))


def _scalars(module: nn.Module) -> list[nn.Parameter]:
    # A number cannot be cut: every process has it whole.
    return [p for p in module.parameters() if p.ndim == 0]


def average_whole_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Average over the processes the gradients of parameters that every process has whole; those cut are already."""
    for parameter in parameters:
        if not isinstance(parameter, DTensor) and parameter.grad is not None:
            dist.all_reduce(parameter.grad)
            parameter.grad /= dist.get_world_size()


@torch.no_grad()
def clip_gradient(parameters: Iterable[nn.Parameter], limit: float) -> Tensor:
    """`torch.nn.utils.clip_grad_norm_` where some gradients are cut and some whole: the norm before clipping."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    cut = [local(g).float().square().sum() for g in gradients if isinstance(g, DTensor)]
    whole = [g.float().square().sum() for g in gradients if not isinstance(g, DTensor)]
    if not cut:
        raise RuntimeError("no parameter has a synchronized gradient")
    total = torch.stack(cut).sum()
    dist.all_reduce(total)
    norm = torch.stack([total, *whole]).sum().sqrt()
    factor = (limit / (norm + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        local(gradient).mul_(factor)
    return norm


def local(tensor: Tensor) -> Tensor:
    """This process's piece of a tensor; the tensor itself where it is not cut."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def gathered(state: Any) -> Any:
    """The same nested state with whole tensors on the CPU. Every process must come here, and all get it."""
    if isinstance(state, DTensor):
        return state.full_tensor().detach().cpu()
    if isinstance(state, Mapping):
        return {key: gathered(value) for key, value in state.items()}
    return state


def cut_like(whole: Tensor, other: Tensor) -> Tensor:
    """`whole` cut as `other` is; every process has the same whole one, so nothing is sent."""
    if not isinstance(other, DTensor):
        return whole
    whole = whole.to(other.to_local().device)
    return distribute_tensor(whole, other.device_mesh, other.placements, src_data_rank=None)


def load_model(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """`model.load_state_dict` of whole tensors into a model that may be cut."""
    model.load_state_dict({name: cut_like(state[name], own) for name, own in model.state_dict().items()})


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """`optimizer.load_state_dict` of whole tensors for parameters that may be cut."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    numbers = [number for group in state["param_groups"] for number in group["params"]]
    own = dict(zip(numbers, parameters, strict=True))
    moments = {
        number: {name: cut_like(v, own[number]) if v.shape == own[number].shape else v for name, v in values.items()}
        for number, values in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": moments})
