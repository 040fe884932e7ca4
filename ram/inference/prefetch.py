"""Pictures decoded on all cores while the model is busy with those before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from torch import Tensor

from ram.inference.image_inputs import Picture
from ram.pipeline.executors.local import available_cores

_BATCHES_AHEAD = 1


def read_ahead(
    pictures: Iterator[Picture], decode: Callable[[Picture], Tensor], batch_size: int
) -> Iterator[list[tuple[Picture, Tensor | OSError]]]:
    """Batches of pictures, each decoded, or with the error that `decode` raised: the picture's fault, not the batch's.

    No more than two batches are taken from `pictures` ahead of what is asked for.
    """
    waiting: deque[list[tuple[Picture, Future[Tensor]]]] = deque()
    with ThreadPoolExecutor(available_cores()) as pool:
        try:
            while True:
                batch = [(picture, pool.submit(decode, picture)) for picture in islice(pictures, batch_size)]
                if batch:
                    waiting.append(batch)
                if not waiting:
                    return
                if not batch or len(waiting) > _BATCHES_AHEAD:
                    yield [(picture, _result(future)) for picture, future in waiting.popleft()]
        finally:
            for _, future in (item for batch in waiting for item in batch):
                future.cancel()


def _result(future: Future[Tensor]) -> Tensor | OSError:
    try:
        return future.result()
    except OSError as error:
        return error
