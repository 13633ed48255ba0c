"""The four ways in which something is not possible, and what each means to a peer and a shell.

Everything else that is raised is a fault of ours: it is logged with its traceback and ends the
task at hand, never the session loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Mapping


class ConciliumError(Exception):
    """Say what is wrong, where, and what to do.

    Args:
        what: One sentence; never a value of a patient's record.
        where: A file with line and column, a peer or a round; empty when it is clear.
        todo: What the reader can do about it; empty when nothing.
        rule: The stable kebab-case name of the rule that said no; it is what crosses to a peer
            and what the ledger keeps, since `what` stays local; `governance/errors/` has all.
    """

    def __init__(self, what: str, *, where: str = "", todo: str = "", rule: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.todo = todo
        self.rule = rule

    @override
    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        todo = f"\n{self.todo}" if self.todo else ""
        return f"{place}{self.what}{todo}"


class Refused(ConciliumError):
    """A rule said no."""


class PeerFault(ConciliumError):
    """The other side broke the protocol."""


class Unavailable(ConciliumError):
    """Not now: try again."""


class Corrupt(ConciliumError):
    """Stored bytes do not match their digest: stop."""


GRPC_STATUS: Final[Mapping[type[ConciliumError], str]] = {
    Refused: "FAILED_PRECONDITION",
    PeerFault: "INVALID_ARGUMENT",
    Unavailable: "UNAVAILABLE",
    Corrupt: "DATA_LOSS",
}

EXIT_CODE: Final[Mapping[type[ConciliumError], int]] = {
    Refused: 2,
    PeerFault: 2,
    Unavailable: 3,
    Corrupt: 2,
}

EXIT_DONE: Final = 0
EXIT_FOUND: Final = 1
EXIT_USER: Final = 2
EXIT_UNAVAILABLE: Final = 3


NO_WAITING_HELPS: Final = frozenset({"disk-full", "port-in-use", "store-unavailable"})
"""Rules of what is unavailable until somebody at this machine acts."""


def exit_code(error: ConciliumError) -> int:
    """Return the process exit code of an error, by its nearest class in the table."""
    if error.rule in NO_WAITING_HELPS:
        return EXIT_USER
    for kind in type(error).__mro__:
        if kind in EXIT_CODE:
            return EXIT_CODE[kind]
    return EXIT_USER
