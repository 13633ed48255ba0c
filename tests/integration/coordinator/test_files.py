"""Files that the record names, gone or changed while the coordinator was away."""

from __future__ import annotations

import pytest
from small_agreement import GATED


async def evaluating(fed):
    """Bring a round to where its candidate is judged; return the round."""
    await fed.in_force(changes={**GATED, "schedule.rounds": 1})
    await fed.all_in()
    await fed.until_round("evaluating")
    return fed.running()


def delete(path):
    path.unlink()


def change(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [delete, change])
@pytest.mark.parametrize("file", ["model", "candidate"])
async def test_model_that_is_not_what_its_name_says_is_never_committed(fed, file, harm):
    running = await evaluating(fed)
    await fed.stop()
    harm(fed.model_path(getattr(running, file).digest))
    await fed.start()
    await fed.until_ended((1, 1, "abandoned", "integrity"))
    assert (await fed.status()).state.startswith("paused")
    assert not fed.entries("round-closed")
