"""A program's figures for Prometheus, counted when it asks, by the loop that owns them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from governance.places import Place
from protos.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping

    from prometheus_client import Metric

    from governance.notices import Notice

_PATIENCE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure by its labels; names follow the conventions, with the unit and `total` last.

    Attributes:
        kind: `gauge` for what goes up and down, `counter` for what only grows.
        name: Of the figure, without `total`.
        help: One sentence.
        labels: The names of the labels.
        values: A number for each tuple of their values.
    """

    kind: Literal["gauge", "counter"]
    name: str
    help: str
    labels: tuple[str, ...]
    values: Mapping[tuple[str, ...], float]


def of_notices(standing: Iterable[Notice], **labels: str) -> Figure:
    """Return the figure that is 1 for each event that stands now."""
    return Figure(
        "gauge",
        "concilium_notice",
        "1 while an event stands that a person should hear of.",
        ("event", "about", *labels),
        {(one.event, one.about, *labels.values()): 1 for one in standing},
    )


def merged(figures: Iterable[Figure]) -> tuple[Figure, ...]:
    """Return each figure once, with the values of all that bear its name."""
    known: dict[str, Figure] = {}
    for one in figures:
        former = known.get(one.name, one)
        known[one.name] = replace(one, values={**former.values, **one.values})
    return tuple(known.values())


@asynccontextmanager
async def exposed(
    listen: str | None, figures: Callable[[], Awaitable[Iterable[Figure]]]
) -> AsyncIterator[None]:
    """Answer Prometheus on an address as long as the context lasts; None: on none.

    Raises:
        Unavailable: the address is taken.
    """
    if listen is None:
        yield
        return
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Asking(figures, asyncio.get_running_loop()))
    place = Place.of(listen)
    try:
        server, _ = start_http_server(place.port, place.host, registry)
    except OSError:
        raise Unavailable(
            f"the address {listen} of `metrics` is taken by another program",
            todo="Free it, or name another under `metrics`.",
            rule="port-in-use",
        ) from None
    try:
        yield
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()


class _Asking(Collector):
    """Ask the event loop for its figures, from the thread that answers Prometheus."""

    def __init__(
        self,
        figures: Callable[[], Awaitable[Iterable[Figure]]],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._figures, self._loop = figures, loop

    def describe(self) -> Iterable[Metric]:
        """Nothing is known before it is asked for."""
        return ()

    @override
    def collect(self) -> Iterable[Metric]:
        """Yield every figure as it is now."""

        async def ask() -> list[Figure]:
            return list(await self._figures())

        asked = asyncio.run_coroutine_threadsafe(ask(), self._loop)
        try:
            known = asked.result(_PATIENCE_S)
        except TimeoutError:
            asked.cancel()
            raise
        for figure in known:
            family = CounterMetricFamily if figure.kind == "counter" else GaugeMetricFamily
            metric = family(figure.name, figure.help, labels=figure.labels)
            for labels, value in sorted(figure.values.items()):
                metric.add_metric(labels, value)
            yield metric
