"""What Prometheus reads: each figure once, as it is when it asks."""

from __future__ import annotations

import asyncio
import urllib.request

import pytest
from prometheus_client.parser import text_string_to_metric_families

from coordinator.rehearsal.stage import free_port
from governance.exposition import Figure, exposed, merged, of_notices
from governance.notices import Notice
from protos.errors import Unavailable

CONNECTED = Figure("gauge", "concilium_connected", "1 while.", ("site",), {("amc",): 1})
ENTRIES = Figure("counter", "concilium_ledger_entries", "Entries.", (), {(): 268})


async def scraped(listen):
    """Return the figures of Concilium's own that an address answers with."""

    def asked():
        with urllib.request.urlopen(f"http://{listen}/metrics", timeout=20) as answer:
            return answer.read().decode()

    text = await asyncio.to_thread(asked)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if family.name.startswith("concilium")
    }


async def test_the_figures_are_asked_for_when_prometheus_asks():
    known = [CONNECTED]

    async def figures():
        return known

    listen = f"127.0.0.1:{free_port()}"
    async with exposed(listen, figures):
        assert await scraped(listen) == {("concilium_connected", (("site", "amc"),)): 1}
        known.append(ENTRIES)
        assert (await scraped(listen))[("concilium_ledger_entries_total", ())] == 268


async def test_an_address_that_is_taken_is_said_and_names_the_setting():
    async def figures():
        return []

    listen = f"127.0.0.1:{free_port()}"
    async with exposed(listen, figures):
        with pytest.raises(Unavailable, match="`metrics`"):
            async with exposed(listen, figures):
                pass


async def test_an_address_is_free_again_afterwards():
    async def figures():
        return []

    listen = f"127.0.0.1:{free_port()}"
    for _ in range(2):
        async with exposed(listen, figures):
            assert await scraped(listen) == {}


def test_a_figure_of_two_federations_is_one_figure():
    other = Figure("gauge", "concilium_connected", "1 while.", ("site",), {("ucl",): 0})
    (one,) = merged([CONNECTED, other])
    assert one.values == {("amc",): 1, ("ucl",): 0}


def test_a_notice_stands_as_a_figure_with_its_event():
    fork = Notice("fork", "amc", "amc's copy differs", "verify")
    assert of_notices([fork], federation="hearts").values == {("fork", "amc", "hearts"): 1}
