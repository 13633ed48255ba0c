"""What a rehearsal shows while it runs: which part begins, and the federation's board."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from coordinator.board import Board

if TYPE_CHECKING:
    from governance.agreement.load import Document
    from protos.words_operator import StatusReport


class Progress:
    """The parts of a rehearsal, and the federation at work; on standard error."""

    def __init__(self, document: Document) -> None:
        self._board = Board(brief=True, planned=document.agreement.schedule.rounds)

    def __enter__(self) -> Self:
        self._board.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._board.__exit__()

    def step(self, sentence: str) -> None:
        """Say which part begins."""
        self._board.say(sentence)

    def show(self, report: StatusReport) -> None:
        """Show where the federation stands."""
        self._board.show(report)
