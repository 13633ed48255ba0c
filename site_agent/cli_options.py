"""Options that several verbs of `concilium-site` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from governance import terminal
from governance.terminal import Format

SiteFile = Annotated[Path, typer.Option("--site", help="This hospital's own file.")]
Federation = Annotated[
    str | None, typer.Option("--federation", help="Which one, where there are several.")
]
Passphrase = Annotated[
    Path | None, typer.Option("--passphrase-file", help="A file that holds the passphrase.")
]
Form = Annotated[Format, typer.Option("--format", help="table, json or csv.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Export = Annotated[Path | None, typer.Option("--export", help="Write it into this file.")]
Digest = Annotated[str, typer.Option("--agreement", help="The first digits of its digest.")]
Reason = Annotated[
    str,
    typer.Option(help="Why; goes to the operator, can be erased.", callback=terminal.reason),
]
HERE = Path("site.yaml")
