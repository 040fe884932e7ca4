"""COCO JSON: instances (`category_id` of an annotation) and panoptic segments (`segments_info`); all is labeled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ram.datasets.coco_json import read_coco
from ram.evaluation.label_formats.description import Description
from ram.evaluation.label_formats.files import label_files, names_of
from ram.evaluation.label_formats.labels import LabelBuilder, Labeled, Names, Problems


def read(description: Description, problems: Problems) -> Labeled:
    """A crowd counts as a label. Names are the categories by id, or those of `names`, where that is given."""
    documents = []
    for path in label_files(description, ".json"):
        document = read_coco(path)
        if not document.categories:
            raise ValueError(f"{path} is no COCO JSON of instances or segments: it lacks categories")
        documents.append(document)
    categories = {number: name for document in documents for number, name in document.categories.items()}
    listed = list(dict.fromkeys(categories[i] for i in sorted(categories)))
    names = names_of(description, "") if description.names else Names.of(listed)
    builder = LabelBuilder(names, problems, complete=description.is_complete(usual=True))
    for document in documents:
        images = {number: builder.image(image["file_name"]) for number, image in document.images.items()}
        for annotation in document.annotations:
            _add(builder, annotation, images, categories, document.path.name)
    return builder.build()


def _add(
    builder: LabelBuilder,
    annotation: Mapping[str, Any],
    images: Mapping[Any, int],
    categories: Mapping[Any, str],
    file: str,
) -> None:
    image = images.get(annotation["image_id"])
    if image is None:
        builder.problems.add("dangling_image", f"{file}: image_id {annotation['image_id']}")
        return
    for category in _categories_of(annotation):
        if category not in categories:
            builder.problems.add("dangling_category", f"{file}: category_id {category}")
        elif (name := builder.names.find(categories[category])) is None:
            builder.problems.add("name_left_out", f"{file}: {categories[category]}")
        else:
            builder.label(image, name)


def _categories_of(annotation: Mapping[str, Any]) -> Iterator[Any]:
    if "segments_info" in annotation:
        yield from (segment["category_id"] for segment in annotation["segments_info"])
    elif "category_id" in annotation:
        yield annotation["category_id"]
