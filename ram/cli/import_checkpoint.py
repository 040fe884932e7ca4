"""The command `ram import-checkpoint`: a published checkpoint -> a checkpoint folder of ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ram.labels import LabelSystem, Tag
from ram.labels.forms import normalize
from ram.pipeline.catalog import artifact

# What the published code says from which score on a tag is there, and for tags it was not trained on.
_DEFAULT_THRESHOLD, _OPEN_SET_THRESHOLD = 0.68, 0.5
_TAG2TEXT_TAGS = 3429
_TAG2TEXT_THRESHOLDS = {1167: 0.70, 2701: 0.70, 2828: 0.70}  # woman, person, man
_TAG2TEXT_NOT_IN_CAPTIONS = (127, 2961, 3351, 3265, 3338, 3355, 3359)
_RAM_TAGS, _RAM_LIST = 4585, "ram4585.txt"


def import_checkpoint(
    file: Annotated[Path, typer.Argument(help="The published file of RAM, RAM++ or Tag2Text (.pth, .safetensors).")],
    out: Annotated[Path, typer.Option(help="The checkpoint folder to write.")],
    captions: Annotated[bool, typer.Option("--captions", help="Bring the captioning branch along.")] = False,
    half: Annotated[bool, typer.Option("--half", help="16 bits a weight: half the size.")] = False,
    image_size: Annotated[
        int | None, typer.Option(help="Side in pixels; left out, what the file was trained at.")
    ] = None,
    tag_list: Annotated[
        Path | None, typer.Option(help="The published names, one a line, in the order of the ids.")
    ] = None,
    thresholds: Annotated[Path | None, typer.Option(help="The published thresholds, one a line.")] = None,
    vocabulary: Annotated[
        str, typer.Option(help="BERT's word pieces, for --captions: a folder, a vocab.txt or a hub id.")
    ] = "bert-base-uncased",
) -> None:
    """Turn a published checkpoint into a folder that `ram tag --model` and `ram.load` read."""
    facts = convert(file, out, captions, half, image_size, tag_list, thresholds, vocabulary)
    print(f"{out}: {facts['family']}, {facts['num_tags']} tags, {facts['num_parameters'] / 1e6:.1f} M parameters")
    if renamed := facts["renamed"]:
        shown = ", ".join(f"{tag_id}: {name}" for tag_id, name in list(renamed.items())[:5])
        print(f"{len(renamed)} names stood before in the list and got a number ({shown})")


def convert(
    file: Path,
    out: Path,
    captions: bool = False,
    half: bool = False,
    image_size: int | None = None,
    tag_list: Path | None = None,
    thresholds: Path | None = None,
    vocabulary: str = "bert-base-uncased",
) -> dict[str, Any]:
    """Write the checkpoint folder `out`, and return what was found: also kept as `extra` in its config."""
    from ram.inference.tagger import THRESHOLDS_FILE
    from ram.io.tables import write_json
    from ram.model.build import assemble, build_preprocess
    from ram.model.checkpoint import save_checkpoint
    from ram.model.published import Published, fill, read_published
    from ram.model.vocabulary import published_word_pieces

    published = Published(read_published(file))
    listed = None if tag_list is None else _names(tag_list)
    num_tags = published.num_tags(None if listed is None else len(listed))
    names, renamed = unique_names(listed or _published_names(num_tags))
    if len(names) != num_tags:
        raise ValueError(f"the list has {len(names)} names, the file {num_tags} tags; give the list of this file")
    limits = _thresholds(thresholds, names, published.family)
    params = published.params(None, captions, vocabulary)
    word_pieces = published_word_pieces(vocabulary) if captions else None
    embedding = published.tag_embeddings(num_tags)
    model = assemble(params, build_preprocess(params), embedding, word_pieces, pretrained=False)
    fill(model, published)
    if image_size is not None:
        model.set_image_size(image_size)  # interpolates the tables of relative positions
    facts = {
        "imported_from": file.name,
        "family": published.family,
        "num_tags": num_tags,
        "num_parameters": sum(t.numel() for t in model.state_dict().values()),
        "renamed": renamed,
    }
    if published.family == "tag2text" and num_tags == _TAG2TEXT_TAGS:
        facts["not_in_captions"] = list(_TAG2TEXT_NOT_IN_CAPTIONS)
    labels = LabelSystem([Tag(tag_id=i, name=name, sources=("published",)) for i, name in enumerate(names)])
    save_checkpoint(out, model.eval(), labels, facts, half=half)
    write_json(limits, out / THRESHOLDS_FILE)
    return facts


def unique_names(listed: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The names in lower case, a second "train" called "train (2)"; and {tag id: name} of those so renamed."""
    names: list[str] = []
    renamed: dict[str, str] = {}
    seen: set[str] = set()
    for tag_id, listed_name in enumerate(listed):
        plain = name = " ".join(listed_name.lower().split())
        number = 2
        while normalize(name) in seen:
            name, number = f"{plain} ({number})", number + 1
        if name != plain:
            renamed[str(tag_id)] = name
        seen.add(normalize(name))
        names.append(name)
    return names, renamed


def _published_names(num_tags: int) -> list[str]:
    path = artifact("vocabularies").path / _RAM_LIST
    if num_tags == _RAM_TAGS and path.is_file():
        return _names(path)
    file = {_RAM_TAGS: "ram_tag_list.txt", _TAG2TEXT_TAGS: "tag2text_ori_tag_list.txt"}.get(num_tags, "its tag list")
    raise ValueError(
        f"no names are here for the {num_tags} tags of this file; give --tag-list FILE, a name a line in the order of "
        f"the tag ids ({file} of the published code)"
    )


def _names(path: Path) -> list[str]:
    return [line for line in _lines(path) if not line.startswith("#")]  # the head of our own vocabularies


def _thresholds(path: Path | None, names: Sequence[str], family: str) -> dict[str, Any]:
    own: dict[str, float] = {}
    if path is not None:
        values = _lines(path)
        if len(values) != len(names):
            raise ValueError(f"{path} has {len(values)} thresholds for {len(names)} tags; give the list of this file")
        own = {name: _threshold(path, i, value) for i, (name, value) in enumerate(zip(names, values, strict=True))}
    elif family == "tag2text" and len(names) == _TAG2TEXT_TAGS:
        own = {names[tag_id]: value for tag_id, value in _TAG2TEXT_THRESHOLDS.items()}
    return {"default": _DEFAULT_THRESHOLD, "open_set": _OPEN_SET_THRESHOLD, "tags": own}


def _threshold(path: Path, index: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ValueError(f"{path}, line {index + 1}: a threshold lies between 0 and 1, got {text!r}")
    return value


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    lines = path.read_text(encoding="utf-8").strip().splitlines()
    if blank := [i for i, line in enumerate(lines, 1) if not line.strip()]:
        raise ValueError(f"{path}, line {blank[0]} is empty; ids would shift: give one entry a line")
    return [line.strip() for line in lines]
