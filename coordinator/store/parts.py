"""The parts of the coordinator's database: the ledger, and the coordinator's own state."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from coordinator.store import migrations, schema
from governance.ledger.making import LEDGER
from governance.ledger.revisions import Part

STATE: Final = Part("coordinator", schema.metadata, Path(migrations.__file__).parent)
PARTS: Final = (LEDGER, STATE)
