"""A coordinator at work answers Prometheus on the address of its file."""

from __future__ import annotations

import asyncio
import urllib.request

from federations import SITES, Here
from prometheus_client.parser import text_string_to_metric_families

from coordinator.rehearsal.stage import free_port


async def scraped(port):
    def asked():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
            return answer.read().decode()

    families = text_string_to_metric_families(await asyncio.to_thread(asked))
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


async def test_the_figures_follow_sites_rounds_and_ledger(folders):
    port = free_port()
    file = folders.coordinator / "coordinator.yaml"
    file.write_text(f"{file.read_text()}\nmetrics: {{listen: '127.0.0.1:{port}'}}\n")
    fed = await Here(folders).start()
    before = await scraped(port)
    assert [before["concilium_site_connected", name] for name in SITES] == [0, 0, 0]
    assert before["concilium_ledger_entries_total",] == len(fed.entries())
    await fed.in_force(changes={"schedule.rounds": 1})
    await fed.tasks()
    during = await scraped(port)
    assert [during["concilium_site_connected", name] for name in SITES] == [1, 1, 1]
    assert during["concilium_round", "training"] == 1
    assert during["concilium_paused",] == 0
    await fed.end()
