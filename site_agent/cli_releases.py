"""The verbs of `concilium-site` about models: approve a wheel, fetch a release and use it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from governance import terminal
from site_agent.cli_options import HERE, Federation, SiteFile

verbs = typer.Typer()


@verbs.command()
def approve(
    wheel: Annotated[
        Path, typer.Argument(help="A wheel of a model, whose code was read here.")
    ],
    site: SiteFile = HERE,
) -> None:
    """Keep a wheel of a model for the confined worker, and print its digest for site.yaml.

    Example: concilium-site approve sepsis_model-1.0-py3-none-any.whl
    """
    from governance.settings import load_site
    from site_agent import wheels

    digest = wheels.approve(load_site(site), wheel)
    terminal.tell(f"Kept {wheel.name} for the worker. The digest of all of its files:")
    typer.echo(digest)
    terminal.tell("It may train once the digest stands under policy.models in site.yaml.")


@verbs.command()
def fetch(
    release: Annotated[str, typer.Argument(help="Its name, as the operator says it.")],
    site: SiteFile = HERE,
    federation: Federation = None,
) -> None:
    """Fetch a released model, once this hospital has checked its proofs and its own consent.

    Example: concilium-site fetch v1
    """
    from site_agent import desk, fetching

    with desk.opened(site, federation) as m:
        place = fetching.fetch(m, release)
    terminal.tell(f"Fetched {release}: every proof leads to this hospital's own copy.")
    terminal.tell(f"It lies in {place}; read model-card.md there before you use it.")
    terminal.tell("Score patients with: concilium-site predict patients.csv")


@verbs.command()
def predict(
    records: Annotated[Path, typer.Argument(metavar="CSV", help="Records, as site.yaml maps.")],
    release: Annotated[
        str, typer.Option(help="Which fetched release; default: the newest that stands.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="The file to write; default: beside it, .scores.csv.")
    ] = None,
    site: SiteFile = HERE,
    federation: Federation = None,
) -> None:
    """Score the patients of a file with a released model; nothing leaves this machine.

    Example: concilium-site predict patients.csv --release v1 --out scores.csv
    """
    from site_agent import desk, predicting

    place = out or records.with_name(f"{records.stem}.scores.csv")
    with desk.opened(site, federation) as m:
        scored = predicting.predict(m, records, place, release=release)
    terminal.tell(f"Scored {scored.patients} patients with {scored.release}: {place}")
    if scored.nameless:
        terminal.tell(f"{scored.nameless} records without an identifier were left out.")
    if scored.unread:
        terminal.tell(f"{scored.unread} cells could not be read, and count as missing.")
