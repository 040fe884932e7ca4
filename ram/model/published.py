"""The published checkpoints of RAM, RAM++ and Tag2Text: their tensors -> a model of ours, by name and shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ram.model.params import CaptionParams, ModelParams
from ram.model.ram import RAM
from ram.model.tensor_files import named_tensors, read_pickled, read_safetensors
from ram.model.text_encoder import LEARNED

# K tags, J descriptions of a tag, E text embedding width, W decoder width

TEXT_ENCODER = "clip:openai/clip-vit-base-patch16"  # what the published embeddings were made with
TEMPLATES = "ram"
NUM_HEADS, NUM_CAPTION_HEADS, NUM_SHARED_LAYERS = 4, 12, 2  # no tensor shows them: the published code sets them
MAX_TOKENS = 40  # of captions and tags; the position tables have more rows, which nothing reads
_TAGS_PER_CHUNK = 1024
_NUM_NAMED = 5
_RECOMPUTED = re.compile(r"relative_position_index$|attn_mask$|position_ids$")
_CAPTIONS = re.compile(r"(tag_encoder|text_decoder)\.")
# (width of the first stage, window) -> timm's name of that Swin, blocks 2, 2, 18, 2
_SWIN = {
    (192, 12): "swin_large_patch4_window12_384",
    (192, 7): "swin_large_patch4_window7_224",
    (128, 12): "swin_base_patch4_window12_384",
    (128, 7): "swin_base_patch4_window7_224",
}
_SWIN_DEPTHS = (2, 2, 18, 2)
# The head of one of our names -> the head of the published one, the longest first.
_HEADS = (
    ("image_encoder.backbone.", "visual_encoder."),
    ("image_encoder.image_proj.", "image_proj."),
    ("tag_decoder.query_proj.", "wordvec_proj."),
    ("tag_decoder.fc.", "fc."),
    ("tag_decoder.log_scale", "reweight_scale"),
    ("tag_decoder.layer.", "tagging_head.encoder.layer."),
    ("caption_branch.tag_embeddings.", "tag_encoder.embeddings."),
    ("caption_branch.tag_encoder.", "tag_encoder.encoder.layer."),
    ("caption_branch.caption_embeddings.", "text_decoder.bert.embeddings."),
    ("caption_branch.text_decoder.", "text_decoder.bert.encoder.layer."),
    ("caption_branch.transform.0.", "text_decoder.cls.predictions.transform.dense."),
    ("caption_branch.transform.2.", "text_decoder.cls.predictions.transform.LayerNorm."),
    ("caption_branch.vocabulary_bias_V", "text_decoder.cls.predictions.bias"),
)
_OURS_ALONE = (
    "image_encoder.channel_mean_C",
    "image_encoder.channel_scale_C",
)  # 0 and 1: features are not standardized


def read_published(path: Path) -> dict[str, Tensor]:
    """The tensors of `{"model": …}` (or of the file itself, .safetensors too) under their newest published names.

    Nothing but tensors, plain values and `argparse.Namespace` is unpickled. `ValueError` for what is no such file.
    """
    if not path.is_file():
        raise ValueError(f"there is no checkpoint file {path}")
    document = read_safetensors(path) if path.suffix == ".safetensors" else read_pickled(path)
    tensors = named_tensors(document, path, "model")
    return {re.sub("^vision_multi", "tagging_head", name): tensor for name, tensor in tensors.items()}


@dataclass(frozen=True)
class Published:
    """The tensors of a published checkpoint, and what their names and shapes say of the model."""

    tensors: Mapping[str, Tensor]

    @property
    def family(self) -> str:
        """`ram`, `ram_plus` or `tag2text`."""
        if "label_embed.weight" in self.tensors or "fc.W" in self.tensors:
            return "tag2text"
        return "ram_plus" if "reweight_scale" in self.tensors else "ram"

    def num_tags(self, num_names: int | None) -> int:
        """Tags of the file; of RAM++, which has rows of descriptions, only a list of names tells (else 51 a tag)."""
        rows = self._wanted("label_embed.weight" if self.family == "tag2text" else "label_embed").shape[0]
        if self.family != "ram_plus":
            return rows
        num_tags = num_names or rows // 51
        if num_tags == 0 or rows % num_tags:
            raise ValueError(f"label_embed has {rows} rows of descriptions, which {num_names or 51} does not divide")
        return num_tags

    def tag_embeddings(self, num_tags: int) -> Tensor:
        """embedding_KE; RAM++: embedding_KJE; Tag2Text: query, output weights and bias of every tag side by side."""
        if self.family == "tag2text":
            query_KW, weight_KW = self._wanted("label_embed.weight"), self._wanted("fc.W")[0]
            bias_K = self._wanted("fc.b")[0]
            if not (query_KW.shape == weight_KW.shape and len(bias_K) == len(query_KW)):
                shapes = [tuple(t.shape) for t in (query_KW, weight_KW, bias_K)]
                raise ValueError(f"label_embed.weight, fc.W and fc.b must be of the same tags, got {shapes}")
            return torch.cat([query_KW, weight_KW, bias_K[:, None]], dim=1)
        embedding = self._wanted("label_embed")
        return embedding.unflatten(0, (num_tags, -1)) if self.family == "ram_plus" else embedding

    def params(self, image_size: int | None, captions: bool, vocabulary: str) -> ModelParams:
        """The architecture; images of the size that the windows are of unless `image_size` is given."""
        query = self._wanted("tagging_head.encoder.layer.0.crossattention.self.query.weight")
        inner = self._wanted("tagging_head.encoder.layer.0.intermediate.dense.weight")
        queries = {"ram": "text", "ram_plus": "described", "tag2text": "learned"}[self.family]
        return ModelParams(
            **self._image_encoder(image_size),
            token_width=None if self.family == "tag2text" else self._wanted("image_proj.weight").shape[0],
            text_encoder=LEARNED if self.family == "tag2text" else TEXT_ENCODER,
            templates="plain" if self.family == "tag2text" else TEMPLATES,
            tag_queries=queries,  # type: ignore[arg-type]
            width=query.shape[0],
            num_layers=self._count(r"tagging_head\.encoder\.layer\.(\d+)\."),
            num_heads=NUM_HEADS,
            ffn_ratio=inner.shape[0] / inner.shape[1],
            num_tags_per_chunk=_TAGS_PER_CHUNK,
            caption=self._caption(vocabulary) if captions else None,
        )

    def fit(self, model: RAM) -> dict[str, Tensor]:
        """The state of `model`, its own tensors' shapes, of these tensors.

        `ValueError` that names the first tensors that are missing, of another shape, or unknown.
        """
        state: dict[str, Tensor] = {}
        problems, used = [], {"label_embed", "label_embed.weight", "fc.W", "fc.b"}
        for name, expected in model.state_dict().items():
            if name in _OURS_ALONE or name == "tag_embedding_KE":
                continue
            theirs = published_name(name)
            used.add(theirs)
            tensor = self.tensors.get(theirs)
            if tensor is not None and theirs.endswith("embeddings.position_embeddings.weight"):
                tensor = tensor[: len(expected)]
            if tensor is None:
                problems.append(f"{theirs} is missing (expected {tuple(expected.shape)})")
            elif tensor.shape != expected.shape:
                problems.append(f"{theirs} is {tuple(tensor.shape)} (expected {tuple(expected.shape)})")
            else:
                state[name] = tensor
        unknown = [n for n in self.tensors if n not in used and not _RECOMPUTED.search(n) and not _CAPTIONS.match(n)]
        problems += [f"{name} {tuple(self.tensors[name].shape)} is unknown" for name in unknown]
        if problems:
            raise ValueError(
                f"this is no whole {self.family} checkpoint: {len(problems)} tensors do not fit, first: "
                + "; ".join(problems[:_NUM_NAMED])
            )
        return state

    def _caption(self, vocabulary: str) -> CaptionParams:
        num_layers = self._count(r"tag_encoder\.encoder\.layer\.(\d+)\.")
        num_caption_layers = self._count(r"text_decoder\.bert\.encoder\.layer\.(\d+)\.")
        if not num_layers or not num_caption_layers:
            raise ValueError("this file has no tag_encoder.* and text_decoder.*: it cannot caption (RAM++ never can)")
        return CaptionParams(
            vocabulary=vocabulary,
            num_tag_encoder_layers=num_layers,
            num_shared_layers=NUM_SHARED_LAYERS,
            num_caption_layers=num_caption_layers,
            num_heads=NUM_CAPTION_HEADS,
            max_tokens=MAX_TOKENS,
        )

    def _image_encoder(self, image_size: int | None) -> dict[str, Any]:
        width = self._wanted("visual_encoder.patch_embed.proj.weight").shape[0]
        num_stages = self._count(r"visual_encoder\.layers\.(\d+)\.")
        depths = tuple(self._count(rf"visual_encoder\.layers\.{i}\.blocks\.(\d+)\.") for i in range(num_stages))
        table = "visual_encoder.layers.{}.blocks.0.attn.relative_position_bias_table"
        heads = tuple(self._wanted(table.format(i)).shape[1] for i in range(num_stages))
        window = (round(self._wanted(table.format(0)).shape[0] ** 0.5) + 1) // 2
        own_size = 4 * window * 2 ** (num_stages - 1)  # the last stage is one window, as in the published models
        name = _SWIN.get((width, window)) if depths == _SWIN_DEPTHS else None
        options = {
            "embed_dim": width,
            "depths": depths,
            "num_heads": heads,
            "window_size": window,
            "img_size": own_size,
        }
        return {
            "image_encoder": name or "swin_tiny_patch4_window7_224",
            "image_encoder_options": {}
            if name
            else {k: list(v) if isinstance(v, tuple) else v for k, v in options.items()},
            "image_size": image_size or own_size,
        }

    def _wanted(self, name: str) -> Tensor:
        if name not in self.tensors:
            near = ", ".join(list(self.tensors)[:_NUM_NAMED]) or "nothing"
            raise ValueError(f"no checkpoint of RAM, RAM++ or Tag2Text: {name} is missing; the file begins with {near}")
        return self.tensors[name]

    def _count(self, pattern: str) -> int:
        numbers = [int(match[1]) for name in self.tensors if (match := re.match(pattern, name))]
        return max(numbers, default=-1) + 1


def published_name(name: str) -> str:
    """The published name of one of our tensors."""
    head, theirs = next((ours, theirs) for ours, theirs in _HEADS if name.startswith(ours))
    rest = name.removeprefix(head)
    if head == "image_encoder.backbone.":
        # timm merges patches where a stage begins, the published code where the one before ends.
        rest = re.sub(r"^layers\.(\d+)\.downsample", lambda m: f"layers.{int(m[1]) - 1}.downsample", rest)
    for block in ("crossattention", "attention"):
        rest = re.sub(rf"^(\d+\.{block})\.(query|key|value)\.", r"\1.self.\2.", rest)
        rest = re.sub(rf"^(\d+\.{block})\.(dense|LayerNorm)\.", r"\1.output.\2.", rest)
    rest = re.sub(r"^(\d+)\.feed_forward\.(intermediate|output)\.", r"\1.\2.dense.", rest)
    return theirs + re.sub(r"^(\d+)\.feed_forward\.LayerNorm\.", r"\1.output.LayerNorm.", rest)


def fill(model: RAM, published: Published) -> None:
    """Give `model`, at the size that the file's windows are of, the file's tensors."""
    state = model.state_dict() | published.fit(model)
    state["tag_embedding_KE"] = published.tag_embeddings(model.num_tags)
    model.load_state_dict(state)


__all__ = ["Published", "fill", "published_name", "read_published"]
