"""The body of POST /v1/tags, of either form, -> images and options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from ram.serving.images import from_base64
from ram.serving.limits import Limits, Refused
from ram.serving.models import Options
from ram.serving.multipart import Part, boundary_of, parse
from ram.serving.schema import TagQuestion

_TRUTHS = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}
_FIELDS = ("image", "tags", "threshold", "top_k", "explain", "model")


@dataclass(frozen=True, slots=True)
class Question:
    """The encoded images, or for each one that is none the reason; how to tag them, and who is asked."""

    images: list[bytes | str]  # str: why there is no image
    options: Options
    model: str


def read_question(content_type: str, body: bytes, limits: Limits) -> Question:
    """Raises `Refused`: 413, 415 or 422, with what is wrong."""
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind == "multipart/form-data":
            return _of_form(parse(body, boundary_of(content_type), limits.max_images + limits.max_tags + 8), limits)
        if kind == "application/json":
            return _of_json(body, limits)
    except ValidationError as error:
        raise Refused(422, "; ".join(_complaint(e) for e in error.errors(include_url=False)[:5])) from error
    except ValueError as error:
        raise Refused(422, str(error)) from error
    raise Refused(415, f"send multipart/form-data or application/json, not {kind or 'nothing'}")


def _complaint(error: object) -> str:
    assert isinstance(error, dict)
    where = ".".join(str(step) for step in error["loc"])
    return f"{where}: {error['msg']}" if where else str(error["msg"])


def _of_json(body: bytes, limits: Limits) -> Question:
    question = TagQuestion.model_validate_json(body)
    images: list[bytes | str] = []
    for text in question.images:
        try:
            images.append(from_base64(text))
        except ValueError as error:
            images.append(f"image {error}")
    return _checked(images, question, limits)


def _of_form(parts: Sequence[Part], limits: Limits) -> Question:
    images: list[bytes | str] = []
    values: dict[str, list[str]] = {}
    for part in parts:
        if part.name not in _FIELDS:
            raise ValueError(f"the form has a field {part.name[:40]!r}; known: {', '.join(_FIELDS)}")
        if part.name == "image":
            images.append(part.data)
        else:
            values.setdefault(part.name, []).append(part.data.decode("utf-8"))
    if twice := [name for name, found in values.items() if name != "tags" and len(found) > 1]:
        raise ValueError(f"the form has the field {twice[0]} twice")
    one = {name: found[0].strip() for name, found in values.items() if name != "tags" and found[0].strip()}
    if (explain := one.get("explain", "false").lower()) not in _TRUTHS:
        raise ValueError(f"explain must be true or false, got {explain[:40]!r}")
    names = [name.strip() for text in values.get("tags", []) for name in text.split(",") if name.strip()]
    question = TagQuestion(
        images=[],
        tags=names or None,
        threshold=_number(one, "threshold"),
        top_k=None if "top_k" not in one else _whole(one["top_k"]),
        explain=_TRUTHS[explain],
        model=one.get("model", "champion"),
    )
    return _checked(images, question, limits)


def _number(values: dict[str, str], name: str) -> float | None:
    try:
        return float(values[name]) if name in values else None
    except ValueError as error:
        raise ValueError(f"{name} must be a number, got {values[name][:40]!r}") from error


def _whole(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise ValueError(f"top_k must be a whole number, got {text[:40]!r}")
    return int(text)


def _checked(images: list[bytes | str], question: TagQuestion, limits: Limits) -> Question:
    if not images:
        raise ValueError("there is no image; send at least one, as `image` of a form or in `images` of JSON")
    if len(images) > limits.max_images:
        raise Refused(413, f"a request may have {limits.max_images} images, this one has {len(images)}")
    if max((len(p) for p in images if isinstance(p, bytes)), default=0) > limits.max_image_bytes:
        raise Refused(413, f"an image may have {limits.max_image_bytes} bytes")
    tags = None if question.tags is None else tuple(question.tags)
    if tags is not None and not 1 <= len(tags) <= limits.max_tags:
        raise ValueError(
            f"tags may be 1 to {limits.max_tags} names, got {len(tags)}; leave it out for all of the model's"
        )
    for tag in tags or ():
        if len(tag) > limits.max_tag_chars:
            raise ValueError(f"a tag may have {limits.max_tag_chars} characters, {tag[:20]!r}… has {len(tag)}")
        if not tag.isprintable():
            raise ValueError(f"a tag is printable text, got {tag[:40]!r}")
    num_explained = limits.max_explained if question.explain else 0
    return Question(images, Options(tags, question.threshold, question.top_k, num_explained), question.model)
