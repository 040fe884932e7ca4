"""Caption -> phrases: what a caption says is in the image."""

from __future__ import annotations

from ram.captions.lexicon import noun_kind
from ram.captions.parser import parse_captions
from ram.captions.rules import Phrase
from ram.captions.text import SKIP_REASONS, clean_caption, skip_reason

__all__ = ["SKIP_REASONS", "Phrase", "clean_caption", "noun_kind", "parse_captions", "skip_reason"]
