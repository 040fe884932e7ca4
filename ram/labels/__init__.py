"""The label system: the tags, what else each is called, what kind it is and what it is a kind of.

Built from captions and vocabularies, it has tags alone. Their embeddings and thresholds come to exist later, in
artifacts of their own that name the version they were made for; `LabelSystem.with_embeddings` and `.with_thresholds`
join them into the complete document that a registered model ships. The version is a hash of what the tags mean, so it
is the same before and after.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ram.labels.forms import normalize, respellings, singulars, spelling_key
from ram.pipeline.catalog import KINDS

_NOUN_KINDS = ("object", "scene")
_IDENTITY = ("tag_id", "name", "synonyms", "kind", "parents")  # what the version stands for


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddingProvenance:
    """What made the embeddings of a label system's tags: enough to make them again, and to know them again."""

    text_encoder: str
    templates: str
    width: int
    content: str  # 12 hex digits of the float32 matrix
    label_system_version: str

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> EmbeddingProvenance:
        """Of plain JSON, which may hold more; `ValueError` where a field is missing."""
        names = [field.name for field in dataclasses.fields(cls)]
        if missing := set(names) - set(document):
            raise ValueError(f"the provenance of embeddings lacks {sorted(missing)}; embed the tags again")
        return cls(**{name: document[name] for name in names})


@dataclass(frozen=True, kw_only=True, slots=True)
class Tag:
    """One entry of the label system; `tag_id` is its row of the tag embeddings and of the logits."""

    tag_id: int
    name: str
    synonyms: tuple[str, ...] = ()
    kind: str = "object"
    parents: tuple[str, ...] = ()  # names of tags that this one is a kind of, nearest first
    sources: tuple[str, ...] = ()  # "captions", and the vocabularies that list it
    frequency: int = 0  # mentions in captions of split train
    threshold: float | None = None  # of the model's score, 0 … 1; None until thresholds are calibrated

    def __post_init__(self) -> None:
        if not self.name or self.name != " ".join(self.name.lower().split()):
            raise ValueError(f"a tag's name is lower case with single spaces, got {self.name!r}")
        if self.kind not in KINDS:
            raise ValueError(f"tag {self.name!r}: kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ValueError(f"tag {self.name!r}: a threshold lies between 0 and 1, got {self.threshold}")


class LabelSystem:
    """An ordered, immutable set of tags.

    A word that names two things has two tags: the plain name belongs to one reading, and the other tag, called
    otherwise ("orange color"), has the synonym `word (kind)`, by which `find(word, kind)` comes to it.
    """

    def __init__(self, tags: Sequence[Tag], embeddings: EmbeddingProvenance | None = None) -> None:
        """`ValueError` for ids other than 0 … K-1 in order, a name that stands twice, a synonym that means two tags.

        `embeddings` say what made the tags' embeddings, and must be of this version.
        """
        self.tags: tuple[Tag, ...] = tuple(tags)
        self._by_phrase: dict[str, Tag] = {}
        for expected, tag in enumerate(self.tags):
            if tag.tag_id != expected:
                raise ValueError(f"tag ids must be 0 … {len(tags) - 1} in order; tag {tag.name!r} has {tag.tag_id}")
            if other := self._by_phrase.get(normalize(tag.name)):
                raise ValueError(f"two tags are called {tag.name!r}: {other.tag_id} and {tag.tag_id}; remove one")
            self._by_phrase[normalize(tag.name)] = tag
        for tag in self.tags:
            for synonym in tag.synonyms:
                other = self._by_phrase.setdefault(normalize(synonym), tag)
                if other is not tag:
                    raise ValueError(
                        f"{synonym!r} would mean two tags, {other.name!r} and {tag.name!r}; "
                        "take it from the synonyms of one"
                    )
        self._by_spelling: dict[str, Tag] = {}
        for phrase, tag in self._by_phrase.items():
            self._by_spelling.setdefault(spelling_key(phrase), tag)
        self.version = self._hash()
        if embeddings is not None and embeddings.label_system_version != self.version:
            raise ValueError(
                f"the embeddings are of label system {embeddings.label_system_version}, not {self.version}; embed again"
            )
        self.embeddings = embeddings

    def __len__(self) -> int:
        return len(self.tags)

    def __iter__(self) -> Iterator[Tag]:
        return iter(self.tags)

    def __getitem__(self, tag_id: int) -> Tag:
        return self.tags[tag_id]

    @property
    def names(self) -> list[str]:
        """The names, by tag id."""
        return [tag.name for tag in self.tags]

    def find(self, phrase: str, kind: str | None = None) -> Tag | None:
        """The tag that `phrase` names: by name or synonym, in the singular or its other spelling too; else None.

        With `kind`, only a tag of that kind; object and scene count as one.
        """
        plain = normalize(phrase)
        kinds = KINDS if kind is None else _NOUN_KINDS if kind in _NOUN_KINDS else (kind,)
        for form in (plain, *singulars(plain), *respellings(plain)):
            if kind is not None:
                for own in kinds:
                    if tag := self._by_phrase.get(f"{form} ({own})"):
                        return tag
            if (tag := self._by_phrase.get(form)) and tag.kind in kinds:
                return tag
        for form in (plain, *singulars(plain)):
            if (tag := self._by_spelling.get(spelling_key(form))) and tag.kind in kinds:
                return tag
        return None

    def extended(self, names: Sequence[str], kind: str = "object", source: str = "added") -> LabelSystem:
        """This label system with new tags for those `names` that it does not know, ids going on after the last."""
        tags = list(self.tags)
        seen = set(self._by_phrase)
        for name in names:
            plain = " ".join(name.lower().split())
            if self.find(name) is None and normalize(plain) not in seen:
                seen.add(normalize(plain))
                tags.append(Tag(tag_id=len(tags), name=plain, kind=kind, sources=(source,)))
        return LabelSystem(tags)

    def with_embeddings(self, embeddings: EmbeddingProvenance) -> LabelSystem:
        """This label system with the provenance of its embeddings; `ValueError` where they are of another version."""
        return LabelSystem(self.tags, embeddings)

    def with_thresholds(self, document: Mapping[str, Any]) -> LabelSystem:
        """This label system with each tag's threshold, of thresholds.json: its own, or else the default."""
        own = document.get("tags", {})
        tags = [dataclasses.replace(t, threshold=float(own.get(t.name, document["default"]))) for t in self.tags]
        return LabelSystem(tags, self.embeddings)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON; `version` is for readers, and computed anew by `from_json`. What is not known is left out."""
        document: dict[str, Any] = {"version": self.version}
        if self.embeddings is not None:
            document["embeddings"] = dataclasses.asdict(self.embeddings)
        tags = [dataclasses.asdict(tag) for tag in self.tags]
        return document | {"tags": [{k: v for k, v in tag.items() if v is not None} for tag in tags]}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> LabelSystem:
        """The inverse of `to_json`; `ValueError` as of the constructor."""
        if "tags" not in document:
            raise ValueError(f"a label system has the key 'tags'; this document has {sorted(document)}")
        made_by = document.get("embeddings")
        return cls(
            [_tag(values) for values in document["tags"]],
            EmbeddingProvenance.from_json(made_by) if made_by else None,
        )

    def _hash(self) -> str:
        canonical = json.dumps([[getattr(tag, f) for f in _IDENTITY] for tag in self.tags], ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _tag(values: Mapping[str, Any]) -> Tag:
    known = {field.name for field in dataclasses.fields(Tag)}
    if unknown := set(values) - known:
        raise ValueError(f"tag {values.get('name')!r} has unknown fields {sorted(unknown)}; known: {sorted(known)}")
    if missing := {"tag_id", "name"} - set(values):
        raise ValueError(f"tag {dict(values)!r} lacks {sorted(missing)}")
    fields: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
    return Tag(**fields)


__all__ = ["EmbeddingProvenance", "LabelSystem", "Tag"]
