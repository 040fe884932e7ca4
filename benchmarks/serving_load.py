"""What serving costs: `ram serve` under load, against the same model called directly, and against `mlflow models serve`.

python -m benchmarks.serving_load MODEL [--clients 1 8 64] [--seconds 10] [--repeats 3] [--overload-seconds 60] [--no-mlflow]

Clients of this process ask over the loopback, one image a question, the next when they have the answer; "direct" calls the
tagger on batches of encoded images in a loop. Images a CPU second are those of the server's processes alone, which is the
throughput of one core that has nothing else to do, whoever shares the machine; images a second and latencies are the
clock's. Every kind is measured in turns, `--repeats` times; the median counts. The overload is an open loop: questions come at
ten times the rate that was answered, whether the others have come back or not. Linux alone.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.http_load import Load, closed_loop, draw_images, open_loop

MIB = 1 << 20
BATCH = 8  # what both the server and the direct calls put through the model together
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


class Server:
    """A server in a session of its own, so that all its processes can be found, and ended."""

    def __init__(self, command: Sequence[str], port: int, health: str) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        # MLflow calls uvicorn by its name.
        environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the server
        self.port = port
        self._process = subprocess.Popen(
            command, env=environment, stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True
        )
        deadline_s = time.monotonic() + 300
        while not _answers(f"http://127.0.0.1:{port}{health}"):
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                self._log.seek(0)
                raise RuntimeError(f"{command[:4]} did not start: {self._log.read().decode()[-2000:]}")
            time.sleep(0.2)

    def usage(self) -> tuple[float, int]:
        """CPU seconds and resident bytes of all processes of the session."""
        ticks = pages = 0
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                values = (entry / "stat").read_text().rpartition(")")[2].split() if entry.name.isdigit() else []
                if values and int(values[3]) == self._process.pid:
                    ticks += int(values[11]) + int(values[12])
                    pages += int(values[21])
        return ticks / _TICKS, pages * os.sysconf("SC_PAGE_SIZE")

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(90)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


@contextlib.contextmanager
def ram_serve(model: Path, *options: str) -> Iterator[Server]:
    """`ram serve` on a free port."""
    port = free_port()
    command = [sys.executable, "-m", "ram", "serve", "--model", str(model), "--port", str(port), "--threads", "1"]
    server = Server([*command, "--max-batch", str(BATCH), *options], port, "/readyz")
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def mlflow_serve(model: Path) -> Iterator[Server]:
    """`mlflow models serve` of the same checkpoint, packaged as the registry has it."""
    from ram.registry.packaging import save

    with tempfile.TemporaryDirectory() as directory:
        save(model, Path(directory, "model"))
        port = free_port()
        command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(Path(directory, "model"))]
        server = Server([*command, "--env-manager", "local", "-h", "127.0.0.1", "-p", str(port)], port, "/ping")
        try:
            yield server
        finally:
            server.stop()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def ram_request(image: bytes) -> bytes:
    """A question to `ram serve`, as bytes to send."""
    form = b'--b\r\nContent-Disposition: form-data; name="image"; filename="p"\r\n\r\n' + image + b"\r\n--b--\r\n"
    return _post("/v1/tags", "multipart/form-data; boundary=b", form)


def mlflow_request(image: bytes) -> bytes:
    """The same question to `mlflow models serve`."""
    rows = {"dataframe_split": {"columns": ["image"], "data": [[base64.b64encode(image).decode()]]}}
    return _post("/invocations", "application/json", json.dumps(rows).encode())


def _post(path: str, content_type: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def measure(server: Server, load: Awaitable[Load]) -> Load:
    """The load, with the CPU time that the server spent on it."""

    async def run() -> Load:
        return await load

    before, _ = server.usage()
    found = asyncio.run(run())
    found.cpu_seconds = server.usage()[0] - before
    return found


def direct(tagger: Callable[..., object], images: Sequence[bytes], seconds: float) -> Load:
    """The tagger on batch after batch, for so long."""
    load = Load()
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    while time.monotonic() - began_s < seconds:
        batch_s = time.monotonic()
        tagger(images[:BATCH], batch_size=BATCH)
        load.latencies_s += [time.monotonic() - batch_s] * BATCH
    load.seconds, load.cpu_seconds = time.monotonic() - began_s, time.process_time() - began_cpu_s
    load.statuses[200] = len(load.latencies_s)
    return load


def throughput(model: Path, clients: Sequence[int], seconds: float, repeats: int, with_mlflow: bool) -> float:
    """Print the table of loads; the images a second that `ram serve` answered to the most clients."""
    import torch

    from ram.inference.tagger import load

    torch.set_num_threads(1)
    images = draw_images(BATCH)
    loads: dict[tuple[str, int], list[Load]] = {}
    with contextlib.ExitStack() as stack:
        servers = {"ram serve": (stack.enter_context(ram_serve(model)), [ram_request(p) for p in images])}
        if with_mlflow:
            served = stack.enter_context(mlflow_serve(model))
            servers["mlflow models serve"] = (served, [mlflow_request(p) for p in images])
        tagger = load(model)
        direct(tagger, images, 0.5)
        for server, requests in servers.values():
            measure(server, closed_loop(server.port, requests, 2, 1.0))
        for _ in range(repeats):
            loads.setdefault(("direct", 1), []).append(direct(tagger, images, seconds))
            for name, (server, requests) in servers.items():
                for count in clients:
                    found = measure(server, closed_loop(server.port, requests, count, seconds))
                    loads.setdefault((name, count), []).append(found)
    _print_table(loads)
    return statistics.median(found.per_second for found in loads["ram serve", max(clients)])


def _print_table(loads: dict[tuple[str, int], list[Load]]) -> None:
    reference = statistics.median(load.per_cpu_second for load in loads["direct", 1])
    print("| | clients | images a CPU second | of direct | images a second | p50 ms | p99 ms | errors |")
    print("|---|---|---|---|---|---|---|---|")
    for (name, count), found in loads.items():
        per_cpu = statistics.median(load.per_cpu_second for load in found)
        values = [statistics.median(values) for values in zip(*(
            (load.per_second, load.percentile_ms(50), load.percentile_ms(99)) for load in found), strict=True)]  # fmt: skip
        errors = sum(n for load in found for status, n in load.statuses.items() if status != 200)
        shown = " | ".join(f"{value:.1f}" for value in values)
        print(f"| {name} | {count} | {per_cpu:.1f} | {per_cpu / reference:.2f} | {shown} | {errors} |")


def overload(model: Path, rate: float, seconds: float) -> None:
    """Print what becomes of ten times as many questions as can be answered, and of the server's memory."""
    requests = [ram_request(image) for image in draw_images(BATCH)]
    memory: list[int] = []
    with ram_serve(model) as server:
        measure(server, closed_loop(server.port, requests, 8, 3.0))
        found = measure(
            server, open_loop(server.port, requests, 10 * rate, seconds, lambda: memory.append(server.usage()[1]))
        )
        after = measure(server, closed_loop(server.port, requests, 1, 2.0))
    statuses = ", ".join(f"{status}: {count}" for status, count in found.statuses.most_common())
    print(f"overload: {10 * rate:.0f} questions a second for {found.seconds:.0f} s; answers by status {statuses}")
    print(
        f"  answered {found.per_second:.1f} a second, p50 {found.percentile_ms(50):.0f} ms, p99 {found.percentile_ms(99):.0f} ms"
    )
    parts = [statistics.median(part) / MIB for part in np.array_split(memory, min(10, len(memory)))]
    print(f"  memory in MiB, median of each tenth: {', '.join(f'{part:.0f}' for part in parts)}")
    print(f"  afterwards, one client: p50 {after.percentile_ms(50):.0f} ms, {dict(after.statuses)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a checkpoint folder")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=10.0, help="of every load")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--overload-seconds", type=float, default=60.0, help="0: none")
    parser.add_argument("--rate", type=float, help="images a second to take ten times of; left out, it is measured")
    parser.add_argument("--no-mlflow", action="store_true")
    args = parser.parse_args()
    rate = args.rate or throughput(args.model, args.clients, args.seconds, args.repeats, not args.no_mlflow)
    if args.overload_seconds:
        overload(args.model, rate, args.overload_seconds)


if __name__ == "__main__":
    main()
