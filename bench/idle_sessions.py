"""What a thousand hospitals that wait take of a coordinator: processor, memory and open files.

    python bench/idle_sessions.py [--sites 1000] [--seconds 60]

The coordinator is a process of its own, started by its ordinary command; each hospital is
enrolled, has keys and a certificate of its own, and holds one session over mutual TLS in which
nothing is said but heartbeats, at the pace that the coordinator asks for. Beside them stand a
tenth as many. The figures are appended to build/bench.json.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog
from logs.figures import figure_of, options, parsed, tell

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator

BENCH: Final = "idle-sessions"
TESTS: Final = Path(__file__).parents[1] / "tests"
HARNESS: Final = ("unit/site_agent", "integration/coordinator", "integration/masking")
AT_ONCE: Final = 32
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def main() -> int:
    given = asked()
    sys.path[:0] = [str(TESTS / folder) for folder in HARNESS]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(measured(Path(folder), given))
    tell("Idle sessions", given.out, figures)
    return 0


def asked() -> argparse.Namespace:
    parser = options(__doc__)
    parser.add_argument("--sites", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    return parsed(parser)


async def measured(place: Path, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Enrol hospitals; return what a coordinator takes of the machine under their sessions."""
    import folders
    import masked
    from coordinator_process import Apart

    names = [f"site-{number:04}" for number in range(given.sites)]
    made = folders.found(place)
    await masked.populate(made, names)
    fed = await Apart(made).start()
    few = given.sites // 10
    try:
        async with sessions(fed, names[:few]):
            small = await taken(fed.process.pid, given.seconds)
            async with sessions(fed, names[few:]):
                large = await taken(fed.process.pid, given.seconds)
    finally:
        await fed.end()
    case = f"{given.sites:,} sessions beside {few:,}"
    return [
        figure_of(BENCH, case, name, unit, (large[name], small[name]))
        for name, unit in (
            ("processor", "% of a core"),
            ("memory of its own", "MB"),
            ("open files", "files"),
            ("threads", "threads"),
        )
    ]


@contextlib.asynccontextmanager
async def sessions(fed: Any, names: list[str]) -> AsyncIterator[None]:  # noqa: ANN401
    """Hold a session for each hospital while the block runs."""
    door = asyncio.Semaphore(AT_ONCE)
    for name in names:
        fed.site(name)

    async def come(name: str) -> None:
        async with door:
            await fed.site(name).connect()

    await asyncio.gather(*(come(name) for name in names))
    beating = [asyncio.create_task(beat(fed.site(name))) for name in names]
    try:
        yield
        lost = [name for name in names if fed.site(name).over is not None]
        assert not lost, lost
    finally:
        for task in beating:
            task.cancel()
        await asyncio.gather(*beating, return_exceptions=True)


async def beat(site: Any) -> None:  # noqa: ANN401
    """Say that a hospital is there, as often as the coordinator asks for."""
    while True:
        await asyncio.sleep(site.welcome.heartbeat_s)
        await site.beat()


async def taken(pid: int, seconds: float) -> dict[str, float]:
    """Return what a process takes of the machine in so many seconds."""
    place = Path(f"/proc/{pid}")
    before = busy_s(place)
    await asyncio.sleep(seconds)
    memory = next(
        int(line.split()[1]) * 1024
        for line in (place / "smaps_rollup").read_text().splitlines()
        if line.startswith("Anonymous:")
    )
    return {
        "processor": 100 * (busy_s(place) - before) / seconds,
        "memory of its own": memory / 10**6,
        "open files": len(list((place / "fd").iterdir())),
        "threads": len(list((place / "task").iterdir())),
    }


def busy_s(process: Path) -> float:
    """Return the processor time that a process has taken, in seconds."""
    ticks = (process / "stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / _TICKS


if __name__ == "__main__":
    sys.exit(main())
