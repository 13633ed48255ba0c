"""`concilium-ledger` from its first instruction on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from governance.start import start

if TYPE_CHECKING:
    from collections.abc import Callable


def main() -> None:
    """Run the program."""
    start(_load)


def _load() -> Callable[[], None]:
    from governance.ledger.cli import main

    return main


if __name__ == "__main__":
    main()
