"""A row that does not exist: at which steps it could have come, and why it did not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ram.reports.lineage.lineage import Life


def why_not(
    life: Life,
    score: float | None,
    num_higher: int | None,
    max_added: int | None,
    scored: Mapping[str, Any] | None,
) -> list[dict[str, str]]:
    """{"step", "reason"} of the steps that could have made the row; none where it is there.

    `score` is the generator's of the tag on the image; `num_higher` predicted tags that reach their thresholds have a
    higher one; both None where the score was not kept. `scored` is the report on the scores, None where there are none.
    """
    if life.generated is not None or life.cleaned is not None:
        return []
    reasons = []
    if life.parsed is None:
        reasons.append(("captions", _captions(life.captions)))
    if life.image["split"] != "train":
        reason = f"the image is of split {life.image['split']}; the data engine works on train alone"
        return [{"step": s, "reason": r} for s, r in [*reasons, ("data engine", reason)]]
    reasons.append(("prediction", _prediction(life.threshold, score, num_higher, max_added, scored)))
    reasons.append(("generated caption", _generated(life.generated_caption, score)))
    if life.verdict is None:
        reasons.append(("a person", "no verdict; a line `keep` in data/reviews/verdicts.csv would add the row"))
    return [{"step": step, "reason": reason} for step, reason in reasons]


def _captions(captions: Sequence[Mapping[str, Any]]) -> str:
    if not captions:
        return "the image has no caption here"
    skipped = [c for c in captions if c["skipped"]]
    phrases = list(dict.fromkeys(phrase for c in captions for phrase in c["phrases"]))
    weak = [n["phrase"] for c in captions for n in c["naming"]]
    note = f"; {', '.join(weak)} alone is too weak a hint of it, or tag_captions does not take it" if weak else ""
    lost = f"; {len(skipped)} were skipped ({', '.join(c['skipped'] for c in skipped)})" if skipped else ""
    found = f", whose phrases are {', '.join(phrases)}" if phrases else ""
    return f"named by none of its {len(captions)} captions{found}{lost}{note}"


def _prediction(
    threshold: Mapping[str, Any] | None,
    score: float | None,
    num_higher: int | None,
    max_added: int | None,
    scored: Mapping[str, Any] | None,
) -> str:
    if score is not None:
        said = f"the generator's score is {score:.3f}"
    elif scored is None:
        said = "no image was scored yet"
    else:
        said = f"its score was not kept, being below {scored['floor']} or not among the {scored['top_k']} highest"
    if threshold is None:
        return f"{said}; the tag has no threshold: at no score is it right often enough, or a benchmark holds it back"
    limit = f"its threshold {threshold['threshold']:.3f} (by {threshold['basis']})"
    if score is None:
        return f"{said}; it would have to reach {limit}"
    if score < threshold["threshold"]:
        return f"{said}, below {limit}"
    if num_higher is not None and max_added is not None and num_higher >= max_added:
        return (
            f"{said}, above {limit}, but {num_higher} tags that reach theirs score higher, and max_added is {max_added}"
        )
    return f"{said}, above {limit}: the tables are older than the model or the parameters; run generate_tags again"


def _generated(caption: Mapping[str, Any] | None, score: float | None) -> str:
    if caption is None:
        return "no caption was generated for the image"
    if caption.get("naming") is None:
        return f"{caption['caption']!r} was not parsed here"
    if not caption["naming"]:
        return f"{caption['caption']!r} does not name it"
    named = ", ".join(n["phrase"] for n in caption["naming"])
    said = "" if score is None else f" ({score:.3f})"
    return f"{caption['caption']!r} names it ({named}), but the model's score{said} is below what caption.min_precision wants"
