"""Whatever a peer's bytes are, they are read or refused in our words: never another error."""

from __future__ import annotations

import base64
import json
import os
import random
import sys
import tempfile
from pathlib import Path

import pytest
from google.protobuf.message import DecodeError

sys.path.insert(0, str(Path(__file__).parent))
import mutation
import targets as known

from governance import canonical
from protos.errors import ConciliumError

COUNT = int(os.environ.get("CONCILIUM_FUZZ", "25"))
SEED = os.environ.get("CONCILIUM_FUZZ_SEED", "1")
NAMES = sorted(known.targets(Path(tempfile.mkdtemp())))


def inputs(target, draw, message):
    while True:
        if message is not None:
            raw = mutation.message_of(draw, message).SerializeToString()
            yield raw if draw.random() < 0.5 else mutation.bytes_changed(draw, raw, [raw])
            continue
        sample = draw.choice(target.samples)
        if target.shape == "json" and draw.random() < 0.7:
            yield as_json(mutation.value_changed(draw, json.loads(sample)))
        elif target.shape == "envelope" and draw.random() < 0.7:
            outer = json.loads(sample)
            said = mutation.value_changed(draw, json.loads(base64.b64decode(outer["payload"])))
            outer["payload"] = base64.b64encode(as_json(said)).decode()
            yield as_json(outer)
        else:
            yield mutation.bytes_changed(draw, sample, target.samples)


def as_json(value):
    try:
        return canonical.encode(value)
    except (TypeError, ValueError):
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@pytest.mark.parametrize("name", NAMES)
def test_bytes_of_a_peer_are_read_or_refused_in_our_words(name, tmp_path):
    target = known.targets(tmp_path)[name]
    draw = random.Random(f"{SEED}/{name}")
    message = target.message
    for number, raw in zip(range(COUNT), inputs(target, draw, message), strict=False):
        try:
            target.read(raw if message is None else message.FromString(raw))
        except (ConciliumError, DecodeError):
            pass
        except Exception as problem:
            raise AssertionError(f"{name} #{number}: {raw[:400]!r}") from problem
