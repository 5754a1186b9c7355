"""How far picks agree with the right ones, corrected for chance, and how far an order is the right one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set


def agreement(picks: Set[str], gold: Set[str], offered: Set[str]) -> float:
    """J(S,G,N): the right ones are 1, nothing and everything are 0; ids that nobody offered are wrong picks."""
    wrong = len(picks - gold) / max(1, len(offered - gold))
    return max(0.0, len(picks & gold) / len(gold) - wrong)


def in_common(done: Sequence[str], order: Sequence[str]) -> int:
    """The length of the longest common subsequence."""
    row = [0] * (len(order) + 1)
    for each in done:
        before = row
        row = [0]
        for at, wanted in enumerate(order):
            row.append(before[at] + 1 if each == wanted else max(before[at + 1], row[at]))
    return row[-1]


def in_order(done: Sequence[str], order: Sequence[str]) -> float:
    """Of the right steps that were taken, the share that stands in the right order; 1 where there are none."""
    steps = only_first(each for each in done if each in order)
    return in_common(steps, order) / len(steps) if steps else 1.0


def only_first(names: Iterable[str]) -> tuple[str, ...]:
    """Each name where it stands first: doing something again shows no more than doing it once."""
    return tuple(dict.fromkeys(names))
