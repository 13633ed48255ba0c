"""Models of a hospital's own: wheels that it approved, each by the digest of all of its files.

A wheel holds `concilium_model` with `build(inputs, outputs)`, which returns a torch module. It
is plain Python, comes to each hospital by the hospital's own way, and is never sent by this
program. Its code runs in the confined worker alone: no network, the cohort to read, one folder
to write. An agreement names the digest, and so does `policy.models` of site.yaml.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import zipfile
import zipimport
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from protos.errors import Corrupt, Refused
from site_agent.premises import Premises

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from governance.settings import SiteSettings

MODULE: Final = "concilium_model"
MOST_BYTES: Final = 16 << 20
_PLAIN: Final = frozenset({f"{MODULE}.py", f"{MODULE}/__init__.py"})
_MACHINE_CODE: Final = (".so", ".pyd", ".dylib", ".dll")
_folder: list[Path | None] = [None]


def digest_of(wheel: Path) -> str:
    """Return the SHA-256 over every file in a wheel, by name and content.

    Raises:
        Refused: `bad-wheel`: it is none, is too large, or holds what is not plain Python.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            _check(wheel, archive.infolist())
            parts = {name: archive.read(name) for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile) as problem:
        said = getattr(problem, "strerror", None) or "it is no wheel"
        raise _bad(wheel, f"it cannot be read: {said}") from None
    whole = hashlib.sha256()
    for name, content in sorted(parts.items()):
        whole.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return whole.hexdigest()


def approve(settings: SiteSettings, wheel: Path) -> str:
    """Keep a wheel for the worker and return its digest."""
    digest = digest_of(wheel)
    premises = Premises(settings.state)
    premises.prepare()
    half = premises.wheels / f"{digest}.part"
    half.write_bytes(wheel.read_bytes())
    half.replace(premises.wheels / f"{digest}.whl")
    return digest


def at_hand(settings: SiteSettings) -> Path | None:
    """Return the folder that a worker takes wheels from; none where it is not confined."""
    if settings.resources.isolation == "none":
        return None
    return Premises(settings.state).wheels


def rows(settings: SiteSettings) -> list[tuple[object, ...]]:
    """Return each wheel that site.yaml names or that is kept, and whether it may train."""
    folder = Premises(settings.state).wheels
    kept = {path.stem: path for path in folder.glob("*.whl")}
    named = {name for name in settings.policy.models if not name.startswith("builtin:")}
    return [
        (
            digest[:12],
            "wheel",
            _standing(digest, kept.get(digest), named=digest in named),
            "",
            kept[digest].stat().st_size if digest in kept else "",
        )
        for digest in sorted(named | set(kept))
    ]


@contextmanager
def served(folder: Path | None) -> Iterator[None]:
    """Let models be built from the wheels of a folder while a confined worker has a job."""
    _folder[0] = folder
    try:
        yield
    finally:
        _folder[0] = None


def loaded(digest: str) -> ModuleType:
    """Run an approved wheel's code and return its module.

    Raises:
        Refused: `wheel-not-confined` or `wheel-missing`.
        Corrupt: `wheel-altered`: its files are not those that were approved.
    """
    folder = _folder[0]
    if folder is None:
        raise Refused(
            "a model from a wheel runs in a confined worker alone",
            todo="Say isolation: required under resources in site.yaml.",
            rule="wheel-not-confined",
        )
    path = folder / f"{digest}.whl"
    if not path.exists():
        raise Refused(
            f"the wheel {digest[:12]} is not on this machine",
            todo="Approve it here: concilium-site approve WHEEL",
            rule="wheel-missing",
        )
    if digest_of(path) != digest:
        raise Corrupt(
            "the wheel's files are not those that were approved",
            where=str(path),
            todo="Approve the right one again: concilium-site approve WHEEL",
            rule="wheel-altered",
        )
    return _run(path)


def _run(path: Path) -> ModuleType:
    for name in [name for name in sys.modules if name.partition(".")[0] == MODULE]:
        del sys.modules[name]  # another wheel's
    spec = zipimport.zipimporter(str(path)).find_spec(MODULE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = module
    spec.loader.exec_module(module)
    return module


def _check(wheel: Path, files: list[zipfile.ZipInfo]) -> None:
    names = [one.filename for one in files]
    if len(set(names)) != len(names) or not _PLAIN & set(names):
        raise _bad(wheel, f"it must hold {MODULE}.py once, with build(inputs, outputs)")
    if sum(one.file_size for one in files) > MOST_BYTES:
        raise _bad(wheel, f"its files are larger than {MOST_BYTES >> 20} MiB")
    for name in names:
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts or place.suffix in _MACHINE_CODE:
            raise _bad(wheel, f"{name} is not plain Python within it")


def _standing(digest: str, path: Path | None, *, named: bool) -> str:
    if path is None:
        return "approved, but not here: concilium-site approve WHEEL"
    if digest_of(path) != digest:
        return "ALTERED since it was approved"
    return "may train" if named else "not approved: not in policy.models"


def _bad(wheel: Path, what: str) -> Refused:
    return Refused(
        f"the wheel is not accepted: {what}",
        where=str(wheel),
        todo="It is a zip file of plain Python: see docs/site-administrator.md, models.",
        rule="bad-wheel",
    )
