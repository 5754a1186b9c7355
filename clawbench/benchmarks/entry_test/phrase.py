"""Whether a text says one of some phrases: by whole words, whatever the case and the spacing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

_BETWEEN_DIGITS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_DASHES = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-") | {"\u2019": "'"})
_MARKS = re.compile(r"(?<!\w)[*_`]+|[*_`]+(?!\w)")
"""Markdown around words: ``**250** MWh``."""
_WORDS_BETWEEN = 2
"""How many words may stand between a negation and what it negates: ``not a clear case``."""


@dataclass(frozen=True, slots=True)
class Phrases:
    """Phrases of which one has to occur, and not after one of some words."""

    any: tuple[str, ...]
    not_after: tuple[str, ...] = ()

    def in_text(self, text: str) -> bool:
        """Whether one of the phrases stands in the text, which has to be ``normalised``."""
        negated = _negated(self.not_after)
        for phrase in self.any:
            words, pattern = _compiled(phrase)
            if words not in text:  # most are not, and this is quick to say
                continue
            for found in pattern.finditer(text):
                if negated is None or not negated.search(text[: found.start()]):
                    return True
        return False


def normalised(text: str) -> str:
    """One form for the spellings of a text: case-folded, single spaces, plain dashes, no commas in thousands, no marks
    of Markdown."""
    plain = unicodedata.normalize("NFKC", text).translate(_DASHES).casefold().replace("|", " ")
    return _BETWEEN_DIGITS.sub("", " ".join(_MARKS.sub("", plain).split()))


def leaks(text: str, secret: str) -> bool:
    """Whether the text has the secret, also where only its punctuation and spacing were changed."""
    return _bare(secret) in _bare(text)


def _bare(text: str) -> str:
    return "".join(character for character in normalised(text) if character.isalnum())


@lru_cache(maxsize=4096)
def _compiled(phrase: str) -> tuple[str, re.Pattern[str]]:
    """The words that a phrase has at least, and the pattern of where it stands."""
    words = normalised(phrase.removesuffix("*"))
    before = r"(?<!\w)(?<!\d[.,])" if words[:1].isdigit() else r"(?<!\w)"
    after = r"(?!\w)(?![.,]\d)" if words[-1:].isdigit() else r"(?!\w)"
    return words, re.compile(before + re.escape(words) + ("" if phrase.endswith("*") else after))


@lru_cache(maxsize=256)
def _negated(words: Sequence[str]) -> re.Pattern[str] | None:
    if not words:
        return None
    any_of = "|".join(re.escape(normalised(word)) for word in words)
    return re.compile(rf"(?<!\w)(?:{any_of}) (?:[\w'-]+ ){{0,{_WORDS_BETWEEN}}}$")
