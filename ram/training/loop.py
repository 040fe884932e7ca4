"""The training loop: steps, curves, evaluation, and a state from which a killed run goes on to the same numbers."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pandas as pd
import torch
from torch.utils.data import DataLoader

from ram.io.progress import track
from ram.io.tables import temporary_path
from ram.model.ram import RAM
from ram.training.batches import Batch, Batches
from ram.training.distributed import Processes
from ram.training.fsdp import gathered, load_model, load_optimizer
from ram.training.optimizer import WeightAverage, make_optimizer, set_learning_rate
from ram.training.params import TrainingParams
from ram.training.schedule import learning_rate_factor
from ram.training.step import TrainingStep, to_device

CURVE_COLUMNS = ("step", "epoch", "split", "metric", "value")
STATE_NAME = "training_state.pt"

Evaluate = Callable[[RAM], Mapping[str, float]]


def train(
    model: RAM,
    batches: Batches,
    params: TrainingParams,
    scratch: Path,
    *,
    evaluate: Evaluate | None = None,
    processes: Processes | None = None,
    description: str = "training",
) -> pd.DataFrame:
    """Train `model` in place; it ends in evaluation mode with the averaged weights. The curves come back.

    Columns: step and epoch (from 1; the value was taken after it), split ("train" or "dev"), metric, value.
    `evaluate(model)` gives metrics on split dev; it is called with the averaged weights. `scratch` keeps the state of
    a run that is killed; called again with the same arguments the run goes on, on the CPU to the same bits.
    Raises `ValueError` where the loss is no longer finite.
    """
    trainer = _Trainer(model, batches, params, scratch, evaluate, processes or Processes())
    trainer.resume()
    with _stop_signal() as stop:
        trainer.run(stop, description)
    trainer.finish()
    return pd.DataFrame(trainer.curves, columns=list(CURVE_COLUMNS))


class _Trainer:
    def __init__(
        self,
        model: RAM,
        batches: Batches,
        params: TrainingParams,
        scratch: Path,
        evaluate: Evaluate | None,
        processes: Processes,
    ) -> None:
        # The caller's model is whole; the one that trains is the same, or a copy of which each process has a piece.
        self.whole, self.model = model, processes.to_train(model)
        self.batches, self.params = batches, params
        self.evaluate, self.processes = evaluate, processes
        self.state_path = scratch / STATE_NAME
        self.steps_per_epoch = batches.steps_per_epoch
        self.num_steps = params.epochs * self.steps_per_epoch
        step = TrainingStep(self.model, params, processes, cached=batches.inputs.cached)
        self.module = processes.wrap(step, units=self.model.image_encoder.layers())
        self.optimizer = make_optimizer(self.model, params.optimizer)
        self.average = WeightAverage(self.model, params.optimizer.ema_decay)
        self.step = 0
        self.curves: list[tuple[int, int, str, str, float]] = []
        self.sums: dict[str, torch.Tensor] = {}
        self.counts: dict[str, int] = {}

    def run(self, stop: threading.Event, description: str) -> None:
        """Take the steps that are left."""
        loader = DataLoader(
            self.batches,
            sampler=range(self.step, self.num_steps),
            batch_size=None,
            num_workers=self.params.num_loader_workers,
        )
        saved = start = time.monotonic()
        num_images = 0
        self.model.train()
        for batch in track(loader, description, self.num_steps - self.step, "step", status=self.status):
            self.take_step(to_device(batch, self.processes.device))
            num_images += batch.num_images
            is_due = time.monotonic() - saved >= self.params.save_every_s
            # A signal, or the time, reaches the processes at different steps: they must stop and save at the same.
            is_due, is_stopped = self.processes.any(is_due and self.processes.is_main, stop.is_set())
            if is_due or is_stopped:
                self.save()
                saved = time.monotonic()
            if is_stopped:
                raise SystemExit(128 + signal.SIGTERM)
        if num_images and self.processes.is_main:
            elapsed_s = time.monotonic() - start
            rate = f"{num_images / elapsed_s:.0f} images/s"
            print(f"{description}: {num_images} images in {elapsed_s:.1f} s, {rate}", file=sys.stderr, flush=True)
        self.save()

    def take_step(self, batch: Batch) -> None:
        """One update of the weights, and what is due after it."""
        # Seeding every step makes dropout the same in a run that goes on as in one that was never stopped.
        torch.manual_seed(batch.seed + self.processes.rank)
        factor = learning_rate_factor(self.params.schedule, self.step, self.steps_per_epoch, self.params.epochs)
        learning_rate = self.params.optimizer.learning_rate * factor
        set_learning_rate(self.optimizer, learning_rate)
        loss, values = self.module(batch)
        loss.backward()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = self.processes.clip_gradient(parameters, self.params.optimizer.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update(self.step)
        self.step += 1
        self.add({**{f"loss_{name}": value for name, value in values.items()}, "gradient_norm": norm.detach()})
        if self.step % self.params.log_every == 0 or self.step % self.steps_per_epoch == 0:
            self.log({"learning_rate": learning_rate})
        if self.step % self.steps_per_epoch == 0:
            self.end_epoch()

    def add(self, values: Mapping[str, torch.Tensor]) -> None:
        for name, value in values.items():
            # On the device: reading a value every step would make the GPU wait.
            self.sums[name] = self.sums.get(name, 0.0) + value.double()
            self.counts[name] = self.counts.get(name, 0) + 1

    def log(self, others: Mapping[str, float]) -> None:
        """Put the means since the last call on the curves."""
        means = {name: float(total) / self.counts[name] for name, total in self.sums.items()}
        for name, value in means.items():
            if not pd.notna(value) or abs(value) == float("inf"):
                raise ValueError(
                    f"{name} is {value} at step {self.step}: the training diverged; "
                    f"lower learning_rate, set clip_norm, or use precision fp32"
                )
        self.point("train", {**means, **others})
        self.sums, self.counts = {}, {}

    def point(self, split: str, values: Mapping[str, float]) -> None:
        epoch = (self.step - 1) // self.steps_per_epoch + 1
        self.curves += [(self.step, epoch, split, name, float(value)) for name, value in values.items()]

    def end_epoch(self) -> None:
        epoch = self.step // self.steps_per_epoch
        every = self.params.eval_every or self.params.epochs
        if self.evaluate is None or (epoch % every and epoch != self.params.epochs):
            return
        with self.average.applied():
            self.fill_whole()
            metrics = self.evaluate_whole() if self.processes.is_main else {}
        if self.processes.is_main:
            self.point("dev", metrics)
            shown = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
            print(f"epoch {epoch}/{self.params.epochs}: {shown}", file=sys.stderr, flush=True)
        self.processes.wait()

    @torch.no_grad()
    def evaluate_whole(self) -> Mapping[str, float]:
        assert self.evaluate is not None
        self.whole.to(self.processes.device).eval()
        metrics = self.evaluate(self.whole)
        self.whole.train()
        if self.whole is not self.model:
            self.whole.to("cpu")
        return metrics

    def fill_whole(self) -> None:
        """Give the caller's model the weights of the one that trains."""
        if self.whole is not self.model:
            self.whole.load_state_dict(gathered(self.model.state_dict()))

    def finish(self) -> None:
        """Leave the caller's model with the averaged weights, on the device, in evaluation mode."""
        self.average.apply()
        self.fill_whole()
        self.whole.to(self.processes.device).eval()

    def status(self) -> str:
        """The latest losses, for people."""
        last = {metric: value for _, _, split, metric, value in self.curves[-12:] if split == "train"}
        shown = {name: value for name, value in last.items() if name.startswith("loss_")}
        epoch = self.step // self.steps_per_epoch + 1
        return " ".join([f"epoch {epoch}", *(f"{name} {value:.4g}" for name, value in shown.items())])

    def save(self) -> None:
        """Write the state in one piece: a kill leaves this one or the one before. It fits any number of processes."""
        state: dict[str, Any] = {
            "model": gathered(self.model.state_dict()),
            "average": gathered(self.average.averages),
            "optimizer": gathered(self.optimizer.state_dict()),
            "step": self.step,
            "curves": self.curves,
            "sums": self.sums,
            "counts": self.counts,
        }
        if not self.processes.is_main:
            return
        save_state(state, self.state_path)

    def resume(self) -> None:
        """Go back to the state that was saved last, if there is one."""
        if not self.state_path.exists():
            return
        state = torch.load(self.state_path, map_location="cpu", weights_only=True)
        load_model(self.model, state["model"])
        self.average.load(state["average"])
        load_optimizer(self.optimizer, state["optimizer"])
        self.step, self.counts = state["step"], state["counts"]
        self.curves = [tuple(point) for point in state["curves"]]
        self.sums = {name: total.to(self.processes.device) for name, total in state["sums"].items()}
        if self.processes.is_main:
            print(f"going on after step {self.step} of {self.num_steps}", file=sys.stderr, flush=True)


def save_state(state: Mapping[str, Any], path: Path) -> None:
    """Write it in one piece. Through a file of ours: PyTorch's own says nothing of why the disk did not take it."""
    with (temporary := temporary_path(path)).open("wb") as stream:
        torch.save(dict(state), stream)
    temporary.replace(path)


@contextmanager
def _stop_signal() -> Iterator[threading.Event]:
    """An event that SIGTERM sets: the step under way is finished and saved, then the process ends."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    previous = signal.signal(signal.SIGTERM, on_signal)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, previous)
