"""The files of a rehearsal: the agreement and each hospital's folder, as people have them."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import yaml

from coordinator.rehearsal import place, synthetic
from coordinator.rehearsal.stage import program, run
from coordinator.rehearsal.synthetic import Invention
from governance.agreement import refusals
from governance.agreement.load import load
from governance.agreement.schema import unsafe_terms
from governance.settings import load_site
from governance.yaml_positions import read
from protos.errors import Refused

if TYPE_CHECKING:
    from pathlib import Path

    from governance.agreement.load import Document

SYNTHETIC: Final = "synthetic"
"""The folder that invented hospitals' files are written into, as they would have them."""
_HEAD: Final = """\
# Made by a rehearsal from the hospital's own file. The terms under `unsafe` are listed here
# because a rehearsal may have them; a hospital writes them itself, or not at all.
"""


@dataclass(frozen=True, slots=True)
class Cast:
    """Where everything of a rehearsal lies.

    Args:
        out: Its folder.
        document: The agreement that is rehearsed.
        seed: What noise, sampling and held-out patients are fixed by; None for real noise.
        synthetic: Whether its patients are invented.
        wheel: The file of the agreement's model, where its code is a wheel's.
        set_aside: The agreement's terms that do not bind invented hospitals, in words.
    """

    out: Path
    document: Document
    seed: int | None
    synthetic: bool = False
    set_aside: tuple[str, ...] = ()
    wheel: Path | None = None

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


def prepare(
    agreement: Path,
    sites: Path | Invention,
    out: Path,
    *,
    seed: int | None,
    replaces: bool = False,
    wheel: Path | None = None,
) -> Cast:
    """Make the folder of a rehearsal in place of one that did not come to its end.

    Args:
        agreement: The operator's file.
        sites: One folder a site, or how hospitals are to be invented.
        out: The folder to make.
        seed: See `Cast`.
        replaces: Whether it may take the place of a finished one, too.
        wheel: See `Cast`.

    Raises:
        Refused: the agreement cannot be, a hospital's files are missing, or the folder holds
            a finished rehearsal or something else.
    """
    document = _possible(agreement)
    _check_wheel(document, wheel)
    if isinstance(sites, Invention):
        place.clear(out, replaces=replaces)
        source = out / SYNTHETIC
        made = synthetic.write(agreement, document.agreement, source, sites, seed=seed)
        cast = Cast(
            out,
            _possible(made.agreement),
            seed,
            synthetic=True,
            set_aside=made.set_aside,
            wheel=wheel,
        )
        return _copied(made.agreement, made.sites, cast)
    for name in document.agreement.sites.roster:
        _check_site(sites / name, name, agreement)
    place.clear(out, replaces=replaces)
    return _copied(agreement, sites, Cast(out, document, seed, wheel=wheel))


def _possible(agreement: Path) -> Document:
    document = load(agreement)
    if objections := refusals.objections(document):
        raise refusals.raised(document, objections)
    return document


def _check_wheel(document: Document, wheel: Path | None) -> None:
    """Refuse a model whose code is not here. Stops a rehearsal that could not train."""
    if document.agreement.model.wheel is None or wheel is not None:
        return
    raise Refused(
        f"the model {document.agreement.model.name} is a wheel's, which is not here",
        where=document.place("model.wheel"),
        todo="Name its file: --wheel FILE. Each hospital of the rehearsal then approves it.",
        rule="wheel-missing",
    )


def _copied(agreement: Path, sites: Path, cast: Cast) -> Cast:
    """Copy the agreement and every hospital's folder to where the rehearsal uses them."""
    if cast.seed is None:
        shutil.copy(agreement, cast.agreement)
    else:
        text = _with_noise_seed(agreement, cast.seed)
        cast.agreement.write_text(text, encoding="utf-8")
    if cast.document.agreement.obligations:
        for extra in agreement.parent.glob("*.md"):
            shutil.copy(extra, cast.out)
    cast = replace(cast, document=load(cast.agreement))
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
            scripts = sorted(agreement.parent.glob("*.py"))
            todo = f"Make the files first: python {scripts[0]}" if scripts else ""
            raise Refused(
                f"the patients of {name} are not there: {cohort.source.csv}",
                todo=todo,
                rule="rehearsal-files",
            )


def _with_noise_seed(agreement: Path, seed: int) -> str:
    """Return the file's text with a fixed noise seed; none where privacy is off."""
    said = read(agreement).value
    if not isinstance(said["privacy"], dict):
        return agreement.read_text(encoding="utf-8")
    fixed = {**said, "privacy": {**said["privacy"], "noise_seed": seed}}
    return yaml.safe_dump(fixed, sort_keys=False, allow_unicode=True, width=100)


def _make_site(source: Path, cast: Cast, name: str) -> None:
    """Copy a hospital's folder; its settings get the federation and a rehearsal's terms."""
    folder = cast.site(name)
    shutil.copytree(source, folder)
    said: dict[str, Any] = dict(read(folder / "site.yaml").value)
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
    accepted = load_site(folder / "site.yaml").policy.unsafe
    said["policy"]["unsafe"] = sorted({*accepted, *unsafe_terms(cast.document.agreement)})
    if cast.wheel is not None:
        _confine(said, str(cast.document.agreement.model.wheel))
    _write_settings(folder / "site.yaml", said)
    if cast.wheel is not None:
        _approve(folder / "site.yaml", cast.wheel)
    if cast.seed is not None:
        _fix_secret(folder, f"{cast.seed}/{name}")


def _confine(said: dict[str, Any], digest: str) -> None:
    """Let a hospital's settings name a wheel, and confine the worker that runs its code."""
    policy = said["policy"]
    policy["models"] = [*policy.get("models", []), digest]
    policy["unsafe"] = [term for term in policy["unsafe"] if term != "no-isolation"]
    said["resources"] = {**said.get("resources", {}), "isolation": "required"}


def _approve(file: Path, wheel: Path) -> None:
    """Keep a wheel at a hospital; another one than the agreement's trains nothing there."""
    run([program("concilium-site"), "approve", str(wheel), "--site", str(file)])


def dial(cast: Cast, name: str, coordinator: str) -> None:
    """Write into a hospital's settings which coordinator it dials."""
    said = dict(read(cast.site_file(name)).value)
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
