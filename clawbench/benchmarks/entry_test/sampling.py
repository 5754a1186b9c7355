"""Reproducible chance: mulberry32, and what a run draws with it."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor
from typing import TypeVar

_T = TypeVar("_T")
_MASK = 0xFFFFFFFF


class Mulberry32:
    """A stream of 32-bit numbers that is the same for the same seed, in every language."""

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def uint32(self) -> int:
        self._state = a = (self._state + 0x6D2B79F5) & _MASK
        t = (a ^ a >> 15) * (a | 1) & _MASK
        t ^= (t + ((t ^ t >> 7) * (t | 61) & _MASK)) & _MASK
        return t ^ t >> 14

    def fraction(self) -> float:
        """From 0 up to but not including 1."""
        return self.uint32() / 2**32

    def below(self, end: int) -> int:
        """A whole number from 0 up to but not including ``end``."""
        return floor(self.fraction() * end)

    def choice(self, values: Sequence[_T]) -> _T:
        return values[self.below(len(values))]

    def shuffled(self, values: Sequence[_T]) -> tuple[_T, ...]:
        """The same values in another order: Fisher-Yates from the end."""
        order = list(values)
        for i in range(len(order) - 1, 0, -1):
            j = self.below(i + 1)
            order[i], order[j] = order[j], order[i]
        return tuple(order)


def rounded(x: float) -> int:
    """The nearest whole number, halves upwards; Python's ``round`` takes halves to the even one."""
    return floor(x + 0.5)
