"""What a check found, in counts alone; those of under five patients or records are withheld."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from governance.terminal import Answer

LEAST_COUNT: Final = 5
"""Smaller counts may point at single patients: they are said as `<5`."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is so of one feature.

    Args:
        feature: The agreement's name, or `patients`, `records`.
        finding: What is so, and the limit where there is one.
        count: Of how many records, or patients, it is so.
        of: Of how many in all.
        meets: Whether the agreement's contract allows it.
        hint: Whether it only says what to look at.
    """

    feature: str
    finding: str
    count: int
    of: int
    meets: bool = True
    hint: bool = False

    @property
    def verdict(self) -> str:
        """Return `yes`, `no`, or `hint` for what breaks nothing and is worth a look."""
        return "no" if not self.meets else "hint" if self.hint else "yes"


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything a check found: what is as agreed, too."""

    rows: tuple[Finding, ...]
    patients: int
    records: int

    @property
    def met(self) -> bool:
        """Whether this cohort may train under the agreement."""
        return all(row.meets for row in self.rows)

    @property
    def broken(self) -> tuple[str, ...]:
        """What does not meet the contract, by feature, each once."""
        return tuple(dict.fromkeys(row.feature for row in self.rows if not row.meets))

    def answer(self) -> Answer:
        """Return the table to print; no cell of it says more than `<5` of a small count."""
        rows = [
            (
                row.feature,
                row.finding,
                shown_count(row.count, row.of),
                shown_share(row.count, row.of),
                row.verdict,
            )
            for row in self.rows
        ]
        return Answer(
            columns=("feature", "finding", "records", "share", "meets"),
            rows=rows,
            title="The cohort against the agreement's contract",
            notes=[self._verdict()],
            facts={"met": self.met, "patients": shown_count(self.patients, self.patients)},
        )

    def _verdict(self) -> str:
        if self.met:
            return "The cohort meets the agreement's contract."
        broken = ", ".join(self.broken)
        return f"The contract is not met by {broken}: this cohort cannot train until it is."


def shown_count(count: int, of: int) -> int | str:
    """Return a count as it may be shown: neither it nor the rest below five, unless nought."""
    if 0 < count < LEAST_COUNT:
        return f"<{LEAST_COUNT}"
    if 0 < of - count < LEAST_COUNT:
        return f">{of - LEAST_COUNT}"
    return count


def shown_share(count: int, of: int) -> str:
    """Return a count's share in per cent, as coarse as the count is shown."""
    shown = shown_count(count, of)
    if of < LEAST_COUNT:
        return ""
    if isinstance(shown, int):
        return f"{100 * count / of:.1f}%"
    return f"{shown[0]}{100 * float(shown[1:]) / of:.1f}%"
