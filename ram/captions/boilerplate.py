"""Text beside images in the web that says nothing of them: addresses, file names, prices, sizes, words of shops."""

from __future__ import annotations

import re
from collections.abc import Collection

_URL = re.compile(
    r"https?:\S*|www\.\S+|[^\s@]{1,64}@[^\s@]{1,255}\.[^\s@]+|\b[\w-]{1,60}\.(?:com|net|org|co\.uk|info|io)\b\S*"
)
_EXTENSION = r"\.(?:jpe?g|png|gif|bmp|tiff?|webp|svg|heic|raw|pdf|mp4|mov)"
_CODE = r"(?=[\w-]{0,20}\d)[A-Za-z]{0,8}[-_]?[\d_-]{2,40}[\w-]{0,40}"  # IMG_2034, DSC00012, 20190312-WA0001
_FILE_NAME = re.compile(
    rf"\s*(?:[\w()-]+{_EXTENSION}|(?:img|dsc[nf]?|p|pict|image|photo|screenshot|mvi|gopr|dji)[\W_]?\d[\w()-]*)\s*\Z",
    re.I,
)
_FILE_IN_TEXT = re.compile(rf"\b(?:{_CODE}{_EXTENSION})\b", re.I)
_EXTENSION_IN_TEXT = re.compile(rf"{_EXTENSION}\b", re.I)

_UNITS = r"(?:in|inch|inches|ft|feet|cm|mm|m|oz|ml|l|lb|lbs|kg|g|px|dpi|mp|mah|w|v|gb|tb|pcs|pc|pack|count|ct)"
_NUMBER = r"\d{1,12}(?:[.,/]\d{1,12}){0,4}"
_MONTHS = r"(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)[a-z]{0,7}"
_SITES = (
    "shutterstock", "getty images", "gettyimages", "istock", "istockphoto", "alamy", "dreamstime", "depositphotos",
    "123rf", "adobe stock", "bigstock", "fotolia", "etsy", "ebay", "pinterest", "instagram", "facebook", "flickr",
    "tumblr", "twitter", "youtube", "tiktok", "reddit", "wikipedia", "wikimedia commons", "unsplash", "pixabay",
    "aliexpress", "alibaba", "walmart", "wayfair", "zazzle", "redbubble", "poshmark", "imgur", "tripadvisor",
)  # fmt: skip
_SELLING = (
    "for sale", "on sale", "free shipping", "free uk shipping", "free us shipping", "free delivery", "free download",
    "shipping", "buy now", "buy online", "buy it now", "shop now", "order now", "add to cart", "in stock",
    "out of stock", "sold out", "best price", "low price", "lowest price", "wholesale", "brand new", "new with tags",
    "nwt", "nwot", "nib", "bnib", "black friday sale", "black friday", "cyber monday", "sale", "discount", "clearance",
    "coupon", "promo code", "view larger", "larger image", "read more", "learn more", "see more", "download free",
    "high resolution", "high res", "hi res", "royalty free", "rights managed", "all rights reserved", "copyright",
    "editorial use only", "photo of the day", "pic of the day", "photooftheday", "picoftheday", "instagood",
    "nofilter", "no filter", "tbt", "ootd", "image may contain", "may be an image of", "no photo description available",
    "sku", "isbn", "asin", "upc", "item no", "item number", "model no", "model number", "qty",
    *(f"stock {noun}{s}" for noun in ("photo", "image", "picture", "photograph", "illustration", "footage", "video",
                                      "vector") for s in ("", "s")),
)  # fmt: skip
_IMAGE_NOUNS = "photo|photograph|image|picture|pic|photography|artwork|illustration"
IMAGE_NOUNS = frozenset(f"{noun}{s}" for noun in _IMAGE_NOUNS.split("|") for s in ("", "s"))
_COMMON = frozenset("a an the of in on to for no be it all out new with high number".split())  # noqa: SIM905


def _keyword(phrase: str) -> str:
    """The word of a phrase that other texts have least, roughly."""
    return max((w for w in phrase.split() if w not in _COMMON and w not in IMAGE_NOUNS), key=len)


_PHRASES = {phrase: not IMAGE_NOUNS.isdisjoint(phrase.split()) for phrase in (*_SITES, *_SELLING)}
KEYWORDS = {_keyword(phrase) for phrase, on_image in _PHRASES.items() if not on_image} | {
    "credit",
    "credits",
    "click",
}
BESIDE_IMAGES = {_keyword(phrase) for phrase, on_image in _PHRASES.items() if on_image} | {
    "credit", "credits", "by", "courtesy", "via", "copyright",
}  # fmt: skip


def may_hold(words: Collection[str]) -> bool:
    """Whether a text of these lower-case words, without digits and signs, may have anything that is removed."""
    if not KEYWORDS.isdisjoint(words):
        return True
    return not IMAGE_NOUNS.isdisjoint(words) and not BESIDE_IMAGES.isdisjoint(words)


def _any_of(phrases: tuple[str, ...]) -> str:
    return "|".join(re.escape(phrase).replace(r"\ ", r"[ -]") for phrase in sorted(phrases, key=len, reverse=True))


_CREDIT = re.compile(
    rf"\b(?:(?:{_IMAGE_NOUNS})s?\s*(?:credits?|by|courtesy(?: of)?|via|copyright)|credits?:|(?:photo|image):|via @)[^.,;|]*"
    r"|©[^.,;|]*|\bclick (?:here|to|for)\b[^.,;|]*",
    re.I,
)
_REMOVED = re.compile(
    "|".join(
        (
            rf"\b(?:{_any_of(_SELLING)})\b(?! of\b):?",
            rf"\b(?:{_any_of(_SITES)})\b",
            r"\bages? \d+\+?",
            rf"[$£€¥]\s?{_NUMBER}|\b{_NUMBER}\s?(?:usd|eur|gbp|dollars?)\b|\b\d+\s?% ?(?:off)?",
            rf"\b{_NUMBER}\s?(?:{_UNITS}\b|\")?\s?[x×]\s?{_NUMBER}(?:\s?[x×]\s?{_NUMBER})?(?:\s?(?:{_UNITS})\b|\")?",
            rf"\b{_NUMBER}[ -]?(?:{_UNITS})\b(?!\s+(?:the|a|an|his|her|their)\b)",
            r"\bsizes?:? ?(?:\d+(?:\.\d+)?|[smlx]{1,4})\b",
            r"\b\d{1,4}[./-]\d{1,2}[./-]\d{1,4}\b",
            rf"\b(?:{_MONTHS}\.? \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}|\d{{1,2}} {_MONTHS},? \d{{4}})\b",
            r"\b(?=[a-z]{0,20}-?\d)(?=\d{0,20}-?[a-z])(?!\d+(?:s|d|st|nd|rd|th)\b)[a-z0-9]{1,20}(?:-[a-z]{0,20}\d[a-z0-9]{0,20}){1,4}\b",
            r"\b(?:[a-z]{1,5}\d{2,20}[a-z0-9]{0,20}|\d{2,20}[a-z]{2,5}\d{1,20}|\d[tmxlw])\b",
            r"\bfile:",
        )
    ),
    re.I,
)
_WITH = re.compile(r"\bw/(?!o\b)\s?", re.I)


def remove_addresses(text: str) -> str:
    """The text without addresses, and without the names of files or their endings."""
    text = _FILE_IN_TEXT.sub(" ", _URL.sub(" ", text))
    return _EXTENSION_IN_TEXT.sub(" ", text)


def remove_selling(text: str) -> str:
    """The text without credits, prices, sizes, dates, codes and the phrases of shops and image sites."""
    return _REMOVED.sub(" ", _CREDIT.sub(" ", _WITH.sub("with ", text)))


def is_file_name(text: str) -> bool:
    """Whether a text is but the name of a file, as cameras give them."""
    return _FILE_NAME.match(text) is not None
