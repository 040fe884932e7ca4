"""Images decoded on all cores while the model is busy with those before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from torch import Tensor

from ram.inference.image_inputs import ImageLike
from ram.pipeline.executors.local import available_cores

_BATCHES_AHEAD = 1


def read_ahead(
    images: Iterator[ImageLike], decode: Callable[[ImageLike], Tensor], batch_size: int
) -> Iterator[list[tuple[ImageLike, Tensor | OSError]]]:
    """Batches of images, each decoded, or with the error that `decode` raised: the image's fault, not the batch's.

    No more than two batches are taken from `images` ahead of what is asked for.
    """
    waiting: deque[list[tuple[ImageLike, Future[Tensor]]]] = deque()
    with ThreadPoolExecutor(available_cores()) as pool:
        try:
            while True:
                batch = [(image, pool.submit(decode, image)) for image in islice(images, batch_size)]
                if batch:
                    waiting.append(batch)
                if not waiting:
                    return
                if not batch or len(waiting) > _BATCHES_AHEAD:
                    yield [(image, _result(future)) for image, future in waiting.popleft()]
        finally:
            for _, future in (item for batch in waiting for item in batch):
                future.cancel()


def _result(future: Future[Tensor]) -> Tensor | OSError:
    try:
        return future.result()
    except OSError as error:
        return error
