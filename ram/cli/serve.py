"""`ram serve`: the tagger behind HTTP, with a web page; `ram serve-key`: who may ask it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ram.cli.speed import Precision, PrecisionOption, ShortlistOption

if TYPE_CHECKING:
    from ram.serving.models import Find


def serve(
    model: Annotated[
        str,
        typer.Option(help="`champion` or another alias of the registry, followed when it moves; a version; a folder."),
    ] = "champion",
    challenger: Annotated[
        str | None, typer.Option(help="A second model to compare with; left out, the registry's `challenger`.")
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen at; 0.0.0.0: all of this machine's.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen at; 0: any that is free.")] = 8000,
    keys: Annotated[
        Path | None, typer.Option(help="A file of keys (`ram serve-key`); left out, whoever reaches it may ask.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, or cuda.")] = "cpu",
    precision: PrecisionOption = Precision.FP32,
    shortlist: ShortlistOption = None,
    threads: Annotated[int | None, typer.Option(help="Cores that the model uses; left out, all.")] = None,
    max_batch: Annotated[int, typer.Option(help="Images that go through the model together.")] = 8,
    max_wait_ms: Annotated[float, typer.Option(help="What a batch waits for images that are on their way.")] = 5.0,
    refresh_s: Annotated[float, typer.Option(help="Between two looks at the registry; 0: never looks again.")] = 30.0,
    drain_s: Annotated[float, typer.Option(help="After SIGTERM: not ready, but still taking requests.")] = 0.0,
    max_body_mib: Annotated[float, typer.Option(help="Of one request.")] = 32.0,
    max_pixels: Annotated[int, typer.Option(help="Of one image.")] = 40_000_000,
    max_images: Annotated[int, typer.Option(help="Of one request.")] = 32,
    max_tags: Annotated[int, typer.Option(help="Custom tags of one request.")] = 100,
    max_waiting: Annotated[int, typer.Option(help="Images that wait for the model at most.")] = 256,
    timeout_s: Annotated[float, typer.Option(help="From a whole request to its answer.")] = 30.0,
) -> None:
    """Serve a model over HTTP: a web page at /, POST /v1/tags for programs, OpenAPI at /openapi.json."""
    try:
        import fastapi
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ValueError(f"{error.name} is not installed; pip install 'ram-tagger[serve]'") from error
    del fastapi
    import torch

    from ram.serving.keys import Keys
    from ram.serving.limits import Limits
    from ram.serving.models import Models, ServedModel
    from ram.serving.process import serve as run
    from ram.serving.server import ServerParams, create_app

    limits = Limits(
        max_body_bytes=int(max_body_mib * 2**20),
        max_pixels=max_pixels,
        max_images=max_images,
        max_tags=max_tags,
        max_waiting=max_waiting,
        timeout_s=timeout_s,
    )
    params = ServerParams(limits=limits, max_batch=max_batch, max_wait_ms=max_wait_ms, refresh_s=refresh_s)
    if keys is not None and not keys.is_file():
        raise ValueError(f"no file of keys at {keys}; `ram serve-key NAME --keys {keys}` makes one")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if threads is not None:
        torch.set_num_threads(threads)
    models = Models(
        _finders(model, challenger, Path()), lambda found: ServedModel(found, device, precision.value, shortlist)
    )
    models.load()
    run(create_app(models, params, None if keys is None else Keys(keys)), host, port, drain_s)


def _finders(model: str, challenger: str | None, workspace: Path) -> dict[str, Find]:
    from ram.serving.models import from_folder, from_registry

    def finder(name: str) -> Find:
        return from_folder(Path(name)) if Path(name).is_dir() else from_registry(name, workspace)

    finders = {"champion": finder(model)}
    if challenger is not None or not Path(model).is_dir():
        finders["challenger"] = finder(challenger or "challenger")
    return finders


def serve_key(
    name: Annotated[str, typer.Argument(help="Whose key it is; stands in the metrics.")],
    keys: Annotated[Path, typer.Option(help="The file that the key's hash is added to.")],
    rate: Annotated[float | None, typer.Option(help="Images a second; left out, no limit but the server's.")] = None,
) -> None:
    """Make a key for `ram serve --keys FILE` and print it, once: the file holds its hash alone. Delete the line to revoke."""
    from ram.serving.keys import add_key

    print(add_key(keys, name, rate))
