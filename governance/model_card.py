"""The model card in words, from its facts: the same facts make the same text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from governance.counts import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_METRICS: Final = {
    "auc": "AUC",
    "accuracy": "accuracy",
    "log_loss": "log-loss",
    "brier": "Brier score",
    "rmse": "RMSE",
}


def rendered(card: Mapping[str, Any]) -> str:
    """Return a model card as Markdown."""
    return "\n".join(_lines(card)) + "\n"


def licence(card: Mapping[str, Any]) -> str:
    """Return the text of the licence's file."""
    return (
        f"{card['title']}: the released model {card['release']}\n"
        f"Owner: {card['owner']}\n"
        f"Licence: {card['licence']}\n"
    )


def _lines(card: Mapping[str, Any]) -> Iterator[str]:
    model, training = card["model"], card["training"]
    yield f"# {card['title']}: release {card['release']}"
    yield ""
    yield f"- Federation: {card['federation']}; owner: {card['owner']}"
    yield f"- Licence: {card['licence']}"
    yield f"- Model: {model['name']}, {model['parameters']} numbers, float32 in safetensors"
    yield f"- SHA-256 of the model: `{model['digest']}`"
    yield f"- Agreement: `{training['agreement']}`"
    yield f"- Composed: {card['composed_at']}"
    yield from _section("Intended use", card["intended_use"])
    yield from _data(card["data"])
    yield from _normalisation(card)
    yield from _sites(card["sites"], training)
    yield from _evaluation(card["evaluation"])
    yield from _section("Privacy", _privacy(card["privacy"]))
    yield from _section("Known limits", card["limits"])


def _section(title: str, sentences: object) -> Iterator[str]:
    yield from ("", f"## {title}", "")
    assert isinstance(sentences, list)
    for sentence in sentences:
        yield f"- {sentence}"


def _data(data: Mapping[str, Any]) -> Iterator[str]:
    yield from (
        "",
        "## Data contract",
        "",
        f"One record is of one {data['unit']}. It tells:",
        "",
    )
    yield "| name | kind | unit | values | missing, at most | stands in its place |"
    yield "|---|---|---|---|---|---|"
    for one in data["features"]:
        cells = (one[name] for name in ("name", "kind", "unit", "values", "missing", "fill"))
        yield f"| {' | '.join(str(cell) for cell in cells)} |"
    target = data["target"]
    yield from ("", f"It predicts {target['name']} ({target['kind']}; {target['values']}).")


def _normalisation(card: Mapping[str, Any]) -> Iterator[str]:
    if "normalisation" not in card:
        return
    yield from ("", "## Normalisation", "")
    yield (
        "A value is taken less the mean, over the deviation: statistics of the hospitals' "
        "patients who train, each hospital's said with noise."
    )
    yield from ("", "| name | mean | deviation |", "|---|---|---|")
    for name, one in card["normalisation"]["values"].items():
        yield f"| {name} | {one['mean']} | {one['std']} |"


def _sites(sites: Mapping[str, Any], training: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## Who is inside", "")
    named = f": {', '.join(sites['names'])}" if sites["names"] else ", which are not named"
    yield f"- {count(sites['count'], 'hospital')}{named}"
    yield f"- {training['declared_patients']} patients as the hospitals declare them, in tens"
    rounds = training["rounds"]
    trained = count(len(rounds), "round")
    yield f"- {trained}, {rounds[0]} to {rounds[-1]}, by {training['strategy']}"


def _evaluation(evaluation: Mapping[str, Any]) -> Iterator[str]:
    yield from ("", "## Evaluation", "", str(evaluation["what"]), "")
    yield f"- All hospitals together: {_figures(evaluation['pooled'])}"
    for one in evaluation["sites"]:
        yield f"- {one['site']}: {_figures(one)}"
    for one in evaluation["subgroups"]:
        yield f"- {one['subgroup']} = {one['value']}: {_figures(one)}"
    for sentence in evaluation["withheld"]:
        yield f"- Withheld: {sentence}"


def _figures(said: Mapping[str, Any]) -> str:
    if said.get("withheld"):
        return f"withheld ({said['withheld']})"
    told = [f"{name} {said[key]}" for key, name in _METRICS.items() if key in said]
    where = f" of {count(said['hospitals'], 'hospital')}" if "hospitals" in said else ""
    return f"{', '.join(told)}, on about {said['patients']} patients{where}"


def _privacy(privacy: Mapping[str, Any]) -> list[str]:
    each = [f"{one['site']}: ε {one['epsilon']}" for one in privacy["sites"]]
    return [*privacy["said"], *each]
