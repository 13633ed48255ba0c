"""What lies in the work folder and is still needed; the rest is deleted."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from governance.secagg.terms import TRAIN
from protos.words import Digest
from site_agent import vectors
from site_agent.agent import ENDS
from site_agent.store import carried, masks, work

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection

    from site_agent.membership import Membership
    from site_agent.store.carried import Control
    from site_agent.store.work import Held

KEEP_TASKS: Final = 6
"""The newest tasks whose files stay: an update may be sent again, a model used again."""


async def tidy(m: Membership) -> int:
    """Delete files of a federation that nothing needs any more; return how many went."""
    wanted = await m.store.ask(partial(_wanted, m=m))
    return await asyncio.to_thread(_deleted, m.premises.work_of(m.federation), *wanted)


def _deleted(folder: Path, files: set[Path], folders: set[Path]) -> int:
    gone = 0
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            if path not in folders and not any(path.iterdir()):
                path.rmdir()
        elif path not in files and path.parent not in folders and path.suffix != ".json":
            path.unlink()
            gone += 1
    return gone


def _wanted(c: Connection, m: Membership) -> tuple[set[Path], set[Path]]:
    """Return the files to keep, and the folders to keep whole."""
    folder = m.premises.work_of(m.federation)
    files: set[Path] = set()
    folders: set[Path] = set()
    active = work.active(c, m.federation)
    for held in (*active, *work.newest(c, m.federation, most=KEEP_TASKS)):
        blobs = (blob for blob in (held.task.model, held.task.state) if blob is not None)
        for blob in blobs:
            files |= {folder / f"{blob.digest}.safetensors", folder / f"{blob.digest}.part"}
        if held.update is not None:
            files.add(m.premises.state / held.update.path)
            files |= _control_of(c, m, held) | _vector_of(c, m, held)
        if held.state not in ENDS:
            folders.add(m.premises.task_folder(m.federation, held.task.task))
    seen: set[str] = set()
    for control in carried.controls(c, m.federation, state=carried.PENDING):
        files |= _files_of(m, control)
    for control in carried.controls(c, m.federation, state=carried.COMMITTED):
        if control.agreement not in seen:
            files |= _files_of(m, control)
            seen.add(control.agreement)
    return files, folders


def _control_of(c: Connection, m: Membership, held: Held) -> set[Path]:
    """Return what goes with an update, should it be sent again."""
    task = held.task
    control = carried.control_of(c, m.federation, task.agreement, task.round, task.attempt)
    return set() if control is None else _files_of(m, control)


def _vector_of(c: Connection, m: Membership, held: Held) -> set[Path]:
    """Return the masked vector of the newest task, should the coordinator's copy be spoilt."""
    run = masks.find(c, m.federation, held.task.task, site=m.site)
    newest = masks.newest(c, m.federation, TRAIN)
    if run is None or not run.sent or (held.task.round, held.task.attempt) != newest:
        return set()
    return {vectors.path_of(m, held.task, Digest(run.sent))}


def _files_of(m: Membership, control: Control) -> set[Path]:
    return {m.premises.state / path for path in control.files}
