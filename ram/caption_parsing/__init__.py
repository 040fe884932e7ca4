"""Caption -> phrases: what a caption says is in the picture."""

from __future__ import annotations

from ram.caption_parsing.parser import parse_captions
from ram.caption_parsing.rules import Phrase
from ram.caption_parsing.text import SKIP_REASONS, clean_caption, skip_reason
from ram.caption_parsing.words import noun_kind

__all__ = ["SKIP_REASONS", "Phrase", "clean_caption", "noun_kind", "parse_captions", "skip_reason"]
