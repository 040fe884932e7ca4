"""How fast a recipe's preliminary model trains on this machine, and where the time of a step goes.

Three ways to train it: on cached features of the frozen EfficientNet-Lite0, that whole from images, and Swin-T from random
weights, each in fp32 and bf16. Images, captions and tags are made up: nothing is read but the recipe. Prints one table.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from benchmarks.made_corpus import MadeCorpus
from benchmarks.workspaces import ROOT, machine
from ram.datasets.feature_store import FeatureStore
from ram.datasets.image_store import ImageStore
from ram.inference.embedding import embed_images, view_maker
from ram.model.build import build_model
from ram.model.params import ModelParams
from ram.model.precision import has_bf16
from ram.model.ram import RAM
from ram.pipeline.params import load_yaml, stage_params
from ram.stages import pretrain
from ram.training.batches import Batches
from ram.training.distributed import Processes
from ram.training.inputs import FeatureInputs, ImageInputs
from ram.training.optimizer import WeightAverage, make_optimizer, set_learning_rate
from ram.training.params import TrainingParams
from ram.training.step import TrainingStep, to_device

IMAGE_SIZE = 224
PARTS = ("data", "backbone", "tag decoder", "caption branch", "losses", "backward", "optimizer")
WAYS: dict[str, tuple[str, bool, dict[str, Any]]] = {
    "cached": ("Lite0 frozen, cached features", True, {}),
    "lite0": ("Lite0 whole, from images", False, {"num_frozen_blocks": 0, "standardize_features": False}),
    "swin": (
        "Swin-T from random weights",
        False,
        {
            "image_encoder": "swin_tiny_patch4_window7_224",
            "pretrained": None,
            "num_frozen_blocks": 0,
            "standardize_features": False,
        },
    ),
}


class Clock:
    """Seconds by part. Where the work is queued on a GPU, it waits for it, which makes the whole a little slower."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = dict.fromkeys(PARTS, 0.0)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        start = self.now()
        yield
        self.seconds[name] += self.now() - start

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            with self.part(name):
                return function(*args, **options)

        return call


class Run:
    """One way of training, ready to take steps."""

    def __init__(self, way: str, model: ModelParams, training: TrainingParams, made: MadeCorpus) -> None:
        _, cached, changes = WAYS[way]
        params = dataclasses.replace(model, image_size=IMAGE_SIZE, **changes)
        self.processes, self.params, corpus = Processes(), training, made.corpus()
        tags_KE = torch.from_numpy(made.embeddings(made.num_tags))
        self.model = build_model(params, tags_KE, made.captions).to(self.processes.device)
        inputs = self._features(made) if cached else ImageInputs(_store(made), self.model.preprocess, training.augment)
        wants = training.loss.alignment_weight > 0
        self.batches = Batches(
            corpus,
            inputs,
            training.batch,
            [f"tag {i}" for i in range(made.num_tags)],
            seed=0,
            caption_share=training.loss.caption_share,
            caption_every=training.loss.caption_every,
            caption_embeddings=[made.embeddings(len(made.captions))] if wants else None,
        )
        self.step = TrainingStep(self.model, training, self.processes, cached=cached).to(self.processes.device)
        self.optimizer = make_optimizer(self.model, training.optimizer)
        set_learning_rate(self.optimizer, 1e-5)
        self.average = WeightAverage(self.model, training.optimizer.ema_decay)
        self.model.train()

    def _features(self, made: MadeCorpus) -> FeatureInputs:
        images, model = _store(made), self.model
        embed_images(
            made.folder / "features",
            images,
            model.image_encoder,
            view_maker(images, model.preprocess, self.params.augment, 0),
            image_size=IMAGE_SIZE,
            num_views=1,
            augmented_splits=(),
            batch_size=8,
            device=self.processes.device,
            precision="fp32",
            facts={"fingerprint": model.trunk_fingerprint()},
        )
        return FeatureInputs(FeatureStore(made.folder / "features"))

    def take(self, number: int, clock: Clock) -> None:
        """One step as the training loop takes it."""
        with clock.part("data"):
            batch = to_device(self.batches[number % self.batches.steps_per_epoch], self.processes.device)
        inner = ("backbone", "tag decoder", "caption branch")
        before = sum(clock.seconds[name] for name in inner)
        with clock.part("losses"):
            loss, _ = self.step(batch)
        # Whatever the step does besides running the model's parts.
        clock.seconds["losses"] -= sum(clock.seconds[name] for name in inner) - before
        with clock.part("backward"):
            loss.backward()
        with clock.part("optimizer"):
            parameters = [p for p in self.model.parameters() if p.requires_grad]
            torch.nn.utils.clip_grad_norm_(parameters, self.params.optimizer.clip_norm or float("inf"))
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            self.average.update(number)


def _store(made: MadeCorpus) -> ImageStore:
    return ImageStore(made.images, made.folder)


def measure(way: str, model: ModelParams, training: TrainingParams, num_steps: int, num_tags: int) -> dict[str, Any]:
    """Images a second, seconds a step by part, and the most memory held, in MiB: of the GPU, or of the process."""
    with tempfile.TemporaryDirectory() as folder:
        made = MadeCorpus(Path(folder), 2 * training.batch.batch_size, num_tags)
        run = Run(way, model, training, made)
        device = run.processes.device
        run.take(0, Clock(device))  # the first allocates, and chooses algorithms
        start = Clock(device).now()
        silent = _Silent(device)
        for number in range(num_steps):
            run.take(1 + number, silent)
        elapsed_s = Clock(device).now() - start
        clock = Clock(device)
        watch(run.model, clock)
        for number in range(num_steps):
            run.take(1 + num_steps + number, clock)
    return {
        "images_per_s": num_steps * training.batch.batch_size / elapsed_s,
        "step_s": {name: seconds / num_steps for name, seconds in clock.seconds.items()},
        "memory_mib": peak_memory_mib(device),
    }


class _Silent(Clock):
    """Waits for nothing: what a GPU has queued runs on."""

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        yield


def watch(model: RAM, clock: Clock) -> None:
    """Time the parts of the model that a step calls."""
    parts = {"trunk": "backbone", "tail": "backbone", "tag_logits": "tag decoder", "caption_loss": "caption branch"}
    for name, part in parts.items():
        setattr(model, name, clock.timed(part, getattr(model, name)))


def peak_memory_mib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024  # what ru_maxrss counts in
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def row(way: str, precision: str, figures: Mapping[str, Any]) -> str:
    """A row of the table: the parts as shares of a step that is timed part by part."""
    step_s = figures["step_s"]
    total_s = sum(step_s.values())
    shares = [f"{100 * step_s[name] / total_s:.0f} %" for name in PARTS]
    speed, memory = f"{figures['images_per_s']:.1f}", f"{figures['memory_mib']:.0f}"
    return f"| {WAYS[way][0]} | {precision} | {speed} | {memory} | {1000 * total_s:.0f} | {' | '.join(shares)} |"


def arguments() -> argparse.Namespace:
    on_gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes" / "flickr8k.yaml")
    parser.add_argument("--batch-size", type=int, default=64 if on_gpu else 16)
    parser.add_argument("--steps", type=int, default=10 if on_gpu else 2, help="measured, after one that is not")
    parser.add_argument("--tags", type=int, default=1300)
    parser.add_argument("--only", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--precision", nargs="+", choices=("fp32", "bf16"), default=["fp32", "bf16"])
    parser.add_argument("--json", action="store_true", help="measure one way in this process and print it as JSON")
    return parser.parse_args()


def measured(way: str, precision: str, args: argparse.Namespace) -> dict[str, Any]:
    """In a process of its own: the most memory that a process held cannot be set back."""
    options = {"recipe": args.recipe, "batch-size": args.batch_size, "steps": args.steps, "tags": args.tags}
    command = [sys.executable, "-m", "benchmarks.training_speed", "--json", "--only", way, "--precision", precision]
    command += [text for name, value in options.items() for text in (f"--{name}", str(value))]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(printed.splitlines()[-1])


def main() -> None:
    args = arguments()
    if args.json:
        params = stage_params(load_yaml(args.recipe), "pretrain", pretrain.Params)
        batch = dataclasses.replace(params.training.batch, batch_size=args.batch_size)
        training = dataclasses.replace(params.training, batch=batch, precision=args.precision[0])
        print(json.dumps(measure(args.only[0], params.model, training, args.steps, args.tags)))
        return
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} threads"
    print(
        f"{args.recipe.stem}, {IMAGE_SIZE} px, {args.batch_size} images a step, {args.tags} tags, {device}, {machine()}\n"
    )
    print(f"| model | precision | images/s | peak MiB | ms a step | {' | '.join(PARTS)} |")
    print("|---" * (5 + len(PARTS)) + "|")
    for way in args.only:
        for precision in args.precision:
            if precision == "bf16" and not has_bf16(torch.device("cuda" if torch.cuda.is_available() else "cpu")):
                continue
            print(row(way, precision, measured(way, precision, args)), flush=True)


if __name__ == "__main__":
    main()
