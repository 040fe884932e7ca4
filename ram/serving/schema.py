"""What goes in and out of the server, as its OpenAPI document describes it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M/wHwAEBgIApD5fRAAAAABJRU5ErkJggg=="


class TagQuestion(BaseModel):
    """Everything but `images` may be left out."""

    model_config = ConfigDict(extra="forbid", strict=True)

    images: list[str] = Field(description="Images as base64, or as data URIs.", examples=[[_PIXEL]])
    tags: list[str] | None = Field(None, description="Score these tags alone, the model's own, synonyms, or new ones.")
    threshold: float | None = Field(None, ge=0, le=1, description="In place of every tag's own threshold.")
    top_k: int | None = Field(None, ge=1, description="At most this many tags per image.")
    explain: bool = Field(False, description="Say where in the image each tag is.")
    model: str = Field("champion", description="champion or challenger.")


class PlaceOut(BaseModel):
    """Where a tag is."""

    box: tuple[float, float, float, float] = Field(description="x0, y0, x1, y1 in fractions of width and height.")
    cells: list[list[float]] = Field(description="Rows from the top: 0 (nothing speaks for the tag) to 1 (most does).")


class TagOut(BaseModel):
    """A tag of an image. `tag_id` and `kind` are null for a new tag."""

    name: str
    score: float = Field(ge=0, le=1)
    threshold: float = Field(ge=0, le=1)
    kind: str | None
    tag_id: int | None
    place: PlaceOut | None = None


class ImageOut(BaseModel):
    """The answer to one image: its tags, best first, or why there are none."""

    tags: list[TagOut]
    error: str | None


class TagAnswer(BaseModel):
    """Images in the order in which they were sent."""

    model: str
    model_version: str
    results: list[ImageOut]


class Label(BaseModel):
    """A tag that the model was trained on."""

    tag_id: int
    name: str
    kind: str
    synonyms: list[str]
    parents: list[str]
    threshold: float


class Labels(BaseModel):
    """The label system of a model."""

    model_version: str
    label_system_version: str
    open_set_threshold: float = Field(description="The threshold of new tags.")
    labels: list[Label]


class Models(BaseModel):
    """The version of every model that is served, by its name."""

    models: dict[str, str]


class Error(BaseModel):
    """Why there is no answer."""

    error: str


_ANSWER = {
    "model": "champion",
    "model_version": "0f3a9c21d4be",
    "results": [
        {
            "tags": [{"name": "dog", "score": 0.93, "threshold": 0.41, "kind": "object", "tag_id": 17}],
            "error": None,
        }
    ],
}

_FORM = {
    "type": "object",
    "required": ["image"],
    "properties": {
        "image": {"type": "array", "items": {"type": "string", "format": "binary"}},
        "tags": {
            "type": "array",
            "items": {"type": "string"},
            "description": "One field a tag, or commas between them.",
        },
        "threshold": {"type": "number", "minimum": 0, "maximum": 1},
        "top_k": {"type": "integer", "minimum": 1},
        "explain": {"type": "boolean"},
        "model": {"type": "string", "enum": ["champion", "challenger"]},
    },
}

_JSON_EXAMPLES = {
    "its own tags": {"value": {"images": [_PIXEL]}},
    "tags of yours": {"value": {"images": [_PIXEL], "tags": ["guitar", "red umbrella"], "threshold": 0.3}},
    "where they are": {"value": {"images": [f"data:image/png;base64,{_PIXEL}"], "top_k": 5, "explain": True}},
}

QUESTION: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _FORM},
            "application/json": {"schema": TagQuestion.model_json_schema(), "examples": _JSON_EXAMPLES},
        },
    }
}

_REFUSALS = {
    401: "A key is wanted, or this one is not known.",
    408: "The request came too slowly.",
    413: "Too many bytes, or too many images.",
    415: "Neither multipart/form-data nor application/json.",
    422: "The question cannot be understood, or no image of it could be read (then with the body of an answer).",
    429: "The key has used up its rate; Retry-After says when it may ask again.",
    503: "Too much to do; Retry-After says when to try again.",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documentation of these statuses."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        found[status] = {"description": _REFUSALS[status], "model": Error}
        if status in (429, 503):
            found[status]["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    return found


ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": TagAnswer, "content": {"application/json": {"example": _ANSWER}}},
    **refusals(*_REFUSALS),
}
