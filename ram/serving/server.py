"""The HTTP interface: routes, and what stands before them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import Receive

from ram import __version__
from ram.io.images import ImageError
from ram.pipeline.executors.local import available_cores
from ram.serving import schema
from ram.serving.batching import Batcher
from ram.serving.body import BodyBuffer, read_body
from ram.serving.images import decode
from ram.serving.keys import Key, Keys
from ram.serving.limits import Limits, Refused
from ram.serving.metrics import CONTENT_TYPE, Metrics
from ram.serving.middleware import Guard
from ram.serving.models import Models, Options, ServedModel
from ram.serving.page import add_page
from ram.serving.requests import Question, read_question

_STUCK_S = 300.0  # a batch that takes longer will never end
_SMALL_BYTES = 64 * 1024  # a body that is parsed sooner than a thread is asked


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerParams:
    """How the server works; what it refuses is in `limits`."""

    limits: Limits = field(default_factory=Limits)
    max_batch: int = 8  # images that go through the model together
    max_wait_ms: float = 5.0  # that a batch waits for images that are on their way
    refresh_s: float = 30.0  # between two looks at the registry; 0: never looks again


class Service:
    """What the routes share."""

    def __init__(self, models: Models, params: ServerParams, keys: Keys | None, metrics: Metrics) -> None:
        self.models, self.params, self.keys, self.metrics = models, params, keys, metrics
        self.limits = params.limits
        self.draining = False
        self.buffer = BodyBuffer(self.limits.max_buffered_bytes)
        self.batcher = Batcher(
            _run_batch,
            max_batch=params.max_batch,
            max_wait_s=params.max_wait_ms / 1000,
            max_waiting=self.limits.max_waiting,
            max_delay_s=self.limits.timeout_s / 2,
            on_batch=self._count_batch,
        )
        self._decoders = ThreadPoolExecutor(min(available_cores(), 4), thread_name_prefix="ram-decode")
        metrics.watch(lambda: self.batcher.num_reserved, lambda: self.buffer.num_bytes)
        self.note_models()

    @contextlib.asynccontextmanager
    async def running(self, app: FastAPI) -> AsyncIterator[None]:
        """While the server is up: batches run, and the registry is looked at."""
        self.batcher.start()
        follower = None
        if self.params.refresh_s:
            follower = asyncio.create_task(self.models.follow(self.params.refresh_s))
        try:
            yield
        finally:
            if follower is not None:
                follower.cancel()
            await self.batcher.stop()
            self._decoders.shutdown(wait=False)

    async def ask(self, request: Request, key: Key | None) -> Response:
        """The answer to POST /v1/tags."""
        self.batcher.refuse_if_full()  # before its body is read
        with self.buffer.hold() as held:
            body = await read_body(request, held, self.limits)
            question = await self._parsed(request.headers.get("content-type", ""), body)
            del body
            served = self.models.get(question.model)
            _check_tags(served, question.options)
            num_images = len(question.images)
            self.metrics.images.labels(key.name if key else "").inc(num_images)
            with self.batcher.reserve(num_images):
                if key is not None and self.keys is not None:
                    self.keys.charge(key, num_images)
                results = await _unless_left(request.receive, self._results(question, served), self.limits.timeout_s)
        failed = sum(result["error"] is not None for result in results)
        self.metrics.broken.inc(failed)
        answer = {"model": question.model, "model_version": served.version, "results": results}
        return _json(answer, 422 if failed == num_images else 200)

    async def _parsed(self, content_type: str, body: bytes) -> Question:
        if len(body) <= _SMALL_BYTES:
            return read_question(content_type, body, self.limits)
        return await asyncio.get_running_loop().run_in_executor(
            self._decoders, read_question, content_type, body, self.limits
        )

    async def _results(self, question: Question, served: ServedModel) -> list[dict[str, Any]]:
        answers = [self._result(image, question.options, served) for image in question.images]
        return list(await asyncio.gather(*answers))

    async def _result(self, content: bytes | str, options: Options, served: ServedModel) -> dict[str, Any]:
        if isinstance(content, str):
            return {"tags": [], "error": content}
        loop = asyncio.get_running_loop()
        try:
            image = await loop.run_in_executor(
                self._decoders, decode, content, served.preprocess, self.limits.max_pixels
            )
        except ImageError as error:  # of one image: the others of the request have their tags
            return {"tags": [], "error": str(error)}
        try:
            return {"tags": await self.batcher.submit((served, options), image), "error": None}
        except ValueError as error:  # the tagger's word on tags that this model cannot score
            raise Refused(422, str(error)) from error

    def note_models(self) -> None:
        """Tell the metrics which models answer."""
        self.metrics.model.clear()
        for name, version in self.models.versions().items():
            self.metrics.model.labels(name).info({"version": version})

    def count_reload(self, name: str, outcome: str) -> None:
        """Told by `Models` of every reload."""
        self.metrics.reloads.labels(name, outcome).inc()
        self.note_models()

    def _count_batch(self, size: int, seconds: float) -> None:
        self.metrics.batch_size.observe(size)
        self.metrics.batch_seconds.observe(seconds)


def _run_batch(key: tuple[ServedModel, Options], images: Sequence[Any]) -> Sequence[Any]:
    served, options = key
    return served.tag(images, options)


def _check_tags(served: ServedModel, options: Options) -> None:
    for name in options.tags or ():
        try:
            served.find(name)
        except ValueError as error:
            raise Refused(422, str(error)) from error


async def _unless_left(receive: Receive, work: Awaitable[Any], timeout_s: float) -> Any:
    """The result of `work`, which is given up when its time is over (`Refused`, 503) or nobody waits for it any more."""
    task = asyncio.ensure_future(work)
    left = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({task, left}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if left.done():
            raise Refused(499, "the client left")
        raise Refused(503, f"there was no answer within {timeout_s:g} s; try again", retry_after_s=timeout_s)
    finally:
        for pending in (task, left):
            pending.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await pending


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def create_app(
    models: Models, params: ServerParams | None = None, keys: Keys | None = None, metrics: Metrics | None = None
) -> FastAPI:
    """The application; `app.state.service` is its `Service`."""
    service = Service(models, params or ServerParams(), keys, metrics or Metrics())
    app = FastAPI(
        title="RAM tagger",
        description="Tags of images, with scores and places.",
        version=__version__,
        docs_url=None,  # these load their scripts from elsewhere
        redoc_url=None,
        lifespan=service.running,
    )
    app.state.service = service
    _add_routes(app, service)
    add_page(app)
    for kind, handler in {Refused: _refused, HTTPException: _http_error, Exception: _failed}.items():
        app.add_exception_handler(kind, handler)
    app.add_middleware(Guard, metrics=service.metrics, routes=_routes(app))
    return app


def _routes(app: FastAPI) -> frozenset[str]:
    return frozenset(route.path for route in app.routes if hasattr(route, "path"))


def _add_routes(app: FastAPI, service: Service) -> None:
    def key_of(request: Request) -> Key | None:
        return None if service.keys is None else service.keys.check(request.headers.get("authorization"))

    @app.post("/v1/tags", openapi_extra=schema.QUESTION, responses=schema.ANSWERS, summary="Tag images")
    async def tags(request: Request) -> Response:
        return await service.ask(request, key_of(request))

    @app.get("/v1/labels", responses={200: {"model": schema.Labels}, **schema.refusals(401, 422)}, summary="The tags")
    async def labels(request: Request, model: str = "champion") -> Response:
        key_of(request)
        return Response(service.models.get(model).labels, media_type="application/json")

    @app.get("/v1/models", responses={200: {"model": schema.Models}, **schema.refusals(401)}, summary="The models")
    async def models(request: Request) -> Response:
        key_of(request)
        return _json({"models": service.models.versions()})

    @app.get("/healthz", summary="Whether the process is well")
    async def healthz() -> Response:
        stuck = service.batcher.stuck_s > _STUCK_S
        return _json({"status": "stuck" if stuck else "ok"}, 503 if stuck else 200)

    @app.get("/readyz", summary="Whether to send requests here")
    async def readyz() -> Response:
        status = "draining" if service.draining else "ready"
        return _json({"status": status, "models": service.models.versions()}, 503 if service.draining else 200)

    @app.get("/metrics", summary="What was counted, as Prometheus reads it", responses=schema.refusals(401))
    async def metrics(request: Request) -> Response:
        key_of(request)
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)


def _json(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return Response(text.encode(), status, headers, media_type="application/json")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return _json({"error": error.message}, error.status, error.headers)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json({"error": str(error.detail)}, error.status_code, dict(error.headers or {}))


async def _failed(request: Request, error: Exception) -> Response:
    """Our mistake: what it was is for the log alone."""
    return _json({"error": "the server failed; its log says why"}, 500)
