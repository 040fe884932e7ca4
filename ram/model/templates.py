"""Prompts around a tag name. A text encoder that has seen sentences embeds "a photo of a dog" better than "dog"."""

from __future__ import annotations

PLAIN = ("{}",)

SHORT = ("{}", "a photo of {article} {}", "there is {article} {} in the picture")


def _with_articles(pattern: str, article: str = "{article}") -> list[str]:
    """The pattern with an indefinite and with a definite article."""
    return [pattern.replace("@", article), pattern.replace("@", "the")]


def _vild() -> tuple[str, ...]:
    """The 63 prompts of ViLD (Gu et al., arXiv 2104.13921, its public demo), which RAM embeds its tags with.

    An article is "a" or "an" by the first letter of the name. "itap" is "I took a picture" in the forum that ImageNet
    prompts were first tuned on (Radford et al., arXiv 2103.00020).
    """
    prompts = [*_with_articles("There is @ {} in the scene."), *_with_articles("a photo of @ {} in the scene.")]
    prompts += ["a photo of one {} in the scene."]
    prompts += [*_with_articles("itap of @ {}."), "itap of my {}."]
    prompts += [*_with_articles("a photo of @ {}."), *(f"a photo of {word} {{}}." for word in ("my", "one", "many"))]
    for quality in ("good", "bad"):
        prompts += _with_articles(f"a {quality} photo of @ {{}}.")
    for adjective in ("nice", "cool", "weird", "small", "large", "clean", "dirty", "hard to see"):
        prompts += _with_articles(f"a photo of @ {adjective} {{}}.", article="a")
    qualities = "bright", "dark", "low resolution", "cropped", "close-up", "jpeg corrupted", "blurry", "pixelated"
    for quality in (*qualities, "black and white"):
        prompts += _with_articles(f"a {quality} photo of @ {{}}.")
    for material in ("plastic", "toy", "plushie", "cartoon"):
        prompts += _with_articles(f"@ {material} {{}}.", article="a")
    prompts += _with_articles("@ embroidered {}.", article="an")
    prompts += _with_articles("a painting of @ {}.", article="a")
    # The demo starts with "This is" whatever begins with an article, or with an a.
    return tuple(f"This is {prompt}" if prompt.startswith(("a", "{article}", "the")) else prompt for prompt in prompts)


TEMPLATES: dict[str, tuple[str, ...]] = {"plain": PLAIN, "short": SHORT, "ram": _vild()}


def fill_templates(name: str, templates: str) -> list[str]:
    """The prompts of one name: lower-cased, `_` read as a space and `/` as "or"."""
    if templates not in TEMPLATES:
        raise ValueError(f"unknown prompt templates {templates!r}; known: {', '.join(TEMPLATES)}")
    words = " ".join(name.lower().replace("_", " ").replace("/", " or ").split())
    if not words:
        raise ValueError(f"a tag name must have at least one letter, got {name!r}")
    article = "an" if words[0] in "aeiou" else "a"
    return [template.format(words, article=article) for template in TEMPLATES[templates]]
