"""An application on a port of its own."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def listening(app: Any) -> Iterator[int]:
    """Serves `app` on a free port of the loopback while the context lasts; gives the port."""
    import uvicorn

    from ram.serving import process

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = process.DrainingServer(process.config_of(app, "127.0.0.1", 0), app, 0.0)
        thread = threading.Thread(target=uvicorn.Server.run, args=(server, [listener]), daemon=True)
        thread.start()
        deadline_s = time.monotonic() + 60
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive()
