"""Addresses as they may be shown: a password, a token or a signature in one is nobody's business but the store's."""

from __future__ import annotations

import re

_PASSWORD = re.compile(r"(?<=://)(?P<user>[^/@:\s]*):(?P<secret>[^/@\s]*)@")
_QUERY = re.compile(r"(?P<name>[?&][^=&#\s]+)=(?P<secret>[^&#\s]+)")
HIDDEN = "***"


def redacted(address: str) -> str:
    """`address` without a password in front of its host, and without the values behind its question mark."""
    return _QUERY.sub(rf"\g<name>={HIDDEN}", _PASSWORD.sub(rf"\g<user>:{HIDDEN}@", address))


def holds_secret(address: str) -> bool:
    """Whether `redacted` would hide something of it. A variable ($NAME) hides itself."""
    found = [*_PASSWORD.finditer(address), *(_QUERY.finditer(address) if "://" in address else ())]
    return any(not match["secret"].startswith("$") for match in found)
