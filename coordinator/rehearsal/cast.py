"""The files of a rehearsal: the agreement and each hospital's folder, as people have them."""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import yaml

from governance.agreement import refusals
from governance.agreement.load import load
from governance.agreement.schema import unsafe_terms
from governance.settings import load_site
from protos.errors import Refused

if TYPE_CHECKING:
    from pathlib import Path

    from governance.agreement.load import Document

MARK: Final = ".rehearsal"
COHORT_SCRIPT: Final = "cohort.py"
_HEAD: Final = """\
# Made by a rehearsal from the hospital's own file. The terms under `unsafe` are listed here
# because a rehearsal may have them; a hospital writes them itself, or not at all.
"""


@dataclass(frozen=True, slots=True)
class Cast:
    """Where everything of a rehearsal lies."""

    out: Path
    document: Document
    seed: int | None

    @property
    def agreement(self) -> Path:
        """The agreement that is proposed."""
        return self.out / "agreement.yaml"

    @property
    def coordinator(self) -> Path:
        """The coordinator's folder."""
        return self.out / "coordinator"

    @property
    def database(self) -> str:
        """The URL of the coordinator's database."""
        return f"sqlite:///{(self.coordinator / 'state' / 'coordinator.db').resolve()}"

    @property
    def passphrase(self) -> Path:
        """The file with the passphrase of every key that a rehearsal makes."""
        return self.out / "passphrase"

    @property
    def names(self) -> tuple[str, ...]:
        """The hospitals, as the roster orders them."""
        return tuple(self.document.agreement.sites.roster)

    def site(self, name: str) -> Path:
        """Return a hospital's folder."""
        return self.out / "sites" / name

    def site_file(self, name: str) -> Path:
        """Return a hospital's settings."""
        return self.site(name) / "site.yaml"


def prepare(agreement: Path, sites: Path, out: Path, *, seed: int | None) -> Cast:
    """Make the folder of a rehearsal; an earlier one of the same name is replaced.

    Raises:
        Refused: the agreement cannot be, a hospital's files are missing, or the folder holds
            something else.
    """
    document = load(agreement)
    if objections := refusals.objections(document):
        raise refusals.raised(document, objections)
    for name in document.agreement.sites.roster:
        _check_site(sites / name, name, agreement)
    _clear(out)
    text = agreement.read_text(encoding="utf-8")
    if seed is not None:
        text = _with_noise_seed(text, seed)
    cast = Cast(out, document, seed)
    cast.agreement.write_text(text, encoding="utf-8")
    if document.agreement.obligations:
        for extra in agreement.parent.glob("*.md"):
            shutil.copy(extra, out)
    cast = Cast(out, load(cast.agreement), seed)
    cast.passphrase.write_text("rehearsal\n", encoding="utf-8")
    cast.passphrase.chmod(0o600)
    for name in cast.names:
        _make_site(sites / name, cast, name)
    return cast


def _check_site(folder: Path, name: str, agreement: Path) -> None:
    settings_file = folder / "site.yaml"
    if not settings_file.exists():
        raise Refused(
            f"{name} stands in the roster, but has no file {settings_file}",
            todo="Give a folder with one folder a site: --sites DIR.",
            rule="rehearsal-files",
        )
    for cohort in load_site(settings_file).cohorts.values():
        if not cohort.source.csv.exists():
            script = agreement.parent / COHORT_SCRIPT
            todo = f"Make the files first: python {script}" if script.exists() else ""
            raise Refused(
                f"the patients of {name} are not there: {cohort.source.csv}",
                todo=todo,
                rule="rehearsal-files",
            )


def _clear(out: Path) -> None:
    if out.exists():
        if not (out / MARK).exists() and any(out.iterdir()):
            raise Refused(
                f"{out} holds something that no rehearsal left there",
                todo="Name another folder with --out.",
                rule="rehearsal-folder",
            )
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / MARK).touch()


def _with_noise_seed(text: str, seed: int) -> str:
    return re.sub(r"(?m)^privacy:.*\n", rf"\g<0>  noise_seed: {seed}\n", text, count=1)


def _make_site(source: Path, cast: Cast, name: str) -> None:
    """Copy a hospital's folder; its settings get the federation and a rehearsal's terms."""
    folder = cast.site(name)
    shutil.copytree(source, folder)
    said: dict[str, Any] = yaml.safe_load((folder / "site.yaml").read_text(encoding="utf-8"))
    federation = cast.document.agreement.federation
    said["rehearsal"] = True
    said["federations"] = [
        {
            "coordinator": "localhost:1",
            "folder": f"enrolled/{federation}",
            "cohort": next(iter(said["cohorts"])),
            "proxy": "none",
        }
    ]
    unsafe = set(said["policy"].get("unsafe", [])) | unsafe_terms(cast.document.agreement)
    said["policy"]["unsafe"] = sorted(unsafe)
    _write_settings(folder / "site.yaml", said)
    if cast.seed is not None:
        _fix_secret(folder, f"{cast.seed}/{name}")


def dial(cast: Cast, name: str, coordinator: str) -> None:
    """Write into a hospital's settings which coordinator it dials."""
    said = yaml.safe_load(cast.site_file(name).read_text(encoding="utf-8"))
    said["federations"][0]["coordinator"] = coordinator
    _write_settings(cast.site_file(name), said)


def _write_settings(path: Path, said: dict[str, Any]) -> None:
    body = yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=100)
    path.write_text(_HEAD + body, encoding="utf-8")


def _fix_secret(folder: Path, text: str) -> None:
    """Fix who is held out, so that two rehearsals of one seed train on the same patients."""
    state = folder / "state"
    state.mkdir(mode=0o700, exist_ok=True)
    secret = state / "held-out.secret"
    secret.write_bytes(hashlib.sha256(f"rehearsal/{text}".encode()).digest())
    secret.chmod(0o600)
