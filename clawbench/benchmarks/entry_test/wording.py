"""Texts with ``{slots}``: which slots a text has, and the text with their values in place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from string import Formatter

SLOT_NAME = re.compile(r"[a-z][a-z0-9_]*")

Value = str | int | float
Slots = Mapping[str, Value]
"""The values that one run has for the slots of a case."""


def slots_of(template: str) -> frozenset[str]:
    """The names between single braces; double braces stand for literal ones.

    Raises:
        ValueError: a brace without its partner, or something other than a plain name between two.
    """
    names: set[str] = set()
    for _, name, form, conversion in Formatter().parse(template):
        if name is None:
            continue
        if form or conversion or not SLOT_NAME.fullmatch(name):
            raise ValueError(f"{{{name}}} is no slot: a slot is a name of a-z, 0-9 and _ between single braces")
        names.add(name)
    return frozenset(names)


def fill(template: str, slots: Slots) -> str:
    """The text with each slot's value in place."""
    return template.format_map(slots)
