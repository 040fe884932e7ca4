"""PASCAL VOC: an XML file an image, with the name of every object. A name that is only `difficult` there is unknown."""

from __future__ import annotations

from pathlib import PurePosixPath
from xml.etree import ElementTree

from ram.evaluation.columns import POSITIVE, UNKNOWN
from ram.evaluation.label_formats.description import Description
from ram.evaluation.label_formats.files import label_files, names_of
from ram.evaluation.label_formats.labels import LabelBuilder, Labeled, Problems


def read(description: Description, problems: Problems) -> Labeled:
    """An image is called as its XML says, or else as the XML file."""
    names = names_of(description, "to know which names were labeled")
    builder = LabelBuilder(names, problems, complete=description.is_complete(usual=True))
    for path in label_files(description, ".xml"):
        try:
            root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
        except (ElementTree.ParseError, ValueError) as error:  # no XML, too many entities, no UTF-8
            problems.add("broken_labels", f"{path.name}: {error}")
            continue
        image = builder.image(root.findtext("filename") or PurePosixPath(path.name).stem)
        for item in root.iter("object"):
            name = (item.findtext("name") or "").strip()
            number = builder.names.find(name)
            if number is None:
                problems.add("unknown_name", f"{path.name}: {name!r}")
                continue
            is_difficult = (item.findtext("difficult") or "0").strip() == "1"
            builder.label(image, number, UNKNOWN if is_difficult else POSITIVE)
    return builder.build()
