"""Events that people want to hear of: a line each in `.state/events.jsonl`, and a message to a web hook where one is set.

`RAM_WEBHOOK_URL` is where each event is posted as JSON: {"event", "text", "at", …}. `text` is what chat services show.
"""

from __future__ import annotations

import datetime
import http.client
import json
import os
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

EVENTS_PATH = Path(".state", "events.jsonl")
WEBHOOK_VARIABLE = "RAM_WEBHOOK_URL"
TIMEOUT_S = 10.0


def notify(event: str, text: str, facts: Mapping[str, Any], workspace: Path = Path()) -> dict[str, Any]:
    """Write the event down and post it; the line that was written, whose `posted` says what became of the message.

    A web hook that does not answer is told on standard error and in the line: the work that the event is about is done.
    """
    line = {"event": event, "text": text, "at": datetime.datetime.now(datetime.UTC).isoformat(), **facts}
    url = os.environ.get(WEBHOOK_VARIABLE)
    line["posted"] = _post(url, line) if url else "no web hook is set"
    path = workspace / EVENTS_PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")
    return line


def _post(url: str, line: Mapping[str, Any]) -> str:
    """What became of the message. The address is a secret of its own with most chat services, and is never shown."""
    if not url.startswith(("http://", "https://")):
        scheme = url.partition(":")[0] if ":" in url else ""
        raise ValueError(f"{WEBHOOK_VARIABLE} must be an http or https address, got one of {scheme[:10]!r}")
    body = json.dumps(line, ensure_ascii=False, default=str).encode()
    try:
        request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"}, method="POST")
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            return str(response.status)
    except (OSError, http.client.HTTPException, ValueError) as error:  # a ValueError: the address is none
        said = str(error) if isinstance(error, OSError) else type(error).__name__
        print(f"the web hook was not reached: {said}", file=sys.stderr, flush=True)
        return f"failed: {said}"
