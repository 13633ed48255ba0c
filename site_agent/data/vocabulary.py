"""Words that hospitals use for the same thing, in English, German, French, Spanish and Italian.

Codes are told by whole words, and single letters by the pair in which they stand: M is a man
beside F or W, and a woman beside H. What two languages read differently is nobody's to guess.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MISSING: Final = "missing"
_WORDS: Final[Mapping[str, str]] = {
    word: concept
    for concept, words in {
        "male": "male man mannlich maennlich mann herr masculin homme masculino hombre varon "
        "maschio maschile uomo",
        "female": "female woman weiblich frau feminin femme femenino feminino mujer hembra "
        "femmina femminile donna",
        "yes": "yes ja oui si true wahr vrai verdadero vero positive positiv positif positivo",
        "no": "no nein non false falsch faux falso negative negativ negatif negativo",
        MISSING: "unknown unbekannt inconnu desconocido sconosciuto missing fehlend fehlt "
        "manquant keineangabe ka nichtbekannt",
    }.items()
    for word in words.split()
}
_PAIRS: Final[tuple[tuple[frozenset[str], Mapping[str, str]], ...]] = tuple(
    (frozenset(concepts), pair)
    for concepts, pairs in (
        (("male", "female"), ("mf", "mw", "hf", "hm", "vm", "ud")),
        (("yes", "no"), ("jn", "yn", "on", "sn", "tf", "wf", "vf", "10")),
    )
    for pair in (dict(zip(letters, concepts, strict=True)) for letters in pairs)
)
"""Letters for two things, the first of the two first: M and F are male and female."""

SAME: Final[tuple[frozenset[str], ...]] = tuple(
    frozenset(words.split())
    for words in (
        "age alter edad eta",
        "sex gender geschlecht sexe sexo sesso genere genre",
        "mean avg average mittel mittelwert moyenne media",
        "max maximum maximal maximale worst hochst hochstwert massimo",
        "se sd standardfehler",
        "area flache surface superficie",
        "perimeter umfang perimetre perimetro",
        "cholesterol cholesterin chol colesterol colesterolo",
        "triglycerides triglyceride triglyzeride trigliceridos trigliceridi",
        "glucose glukose glucosa glucosio",
        "creatinine kreatinin krea creatinina",
        "haemoglobin hemoglobin hamoglobin hemoglobine hemoglobina emoglobina hb hgb",
        "pressure druck blutdruck rr bp presion pression pressione",
        "systolic systolisch sys systolique sistolica",
        "diastolic diastolisch dia diastolique diastolica",
        "heart herz cardiac coeur corazon cuore",
        "rate frequenz frequence frecuencia frequenza",
        "resting rest ruhe repos reposo riposo",
        "exercise belastung belastungs effort ejercicio esercizio sforzo",
        "fasting nuchtern jeun ayunas digiuno",
        "sugar zucker sucre azucar zucchero",
        "chest brust thorax poitrine pecho torace",
        "pain schmerz schmerzen douleur dolor dolore",
        "disease krank krankheit erkrankung maladie enfermedad malattia",
        "height grosse groesse taille talla altura altezza statura",
        "weight gewicht poids peso",
        "high hoch erhoht eleve elevado elevato elevated",
        "depression senkung",
        "ecg ekg",
        "smoker smoking raucher fumeur fumador fumatore",
        "death died dead tod verstorben deces muerte fallecido morte deceduto",
    )
)
"""Words of columns' names, folded."""


def folded(text: str) -> str:
    """Return a text in small letters without accents."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in decomposed if not unicodedata.combining(sign))


def meanings(codes: Iterable[str], wanted: Sequence[str]) -> dict[str, str]:
    """Return what codes certainly stand for, by the words for sexes, for yes and no, for none.

    Args:
        codes: All that a column has.
        wanted: The agreement's values; `0` and `1` are no and yes.
    """
    seen = {code: _plain(code) for code in codes}
    values = {concept: value for value, concept in _concepts(wanted).items()}
    if set(wanted) == {"0", "1"}:
        values = {"no": "0", "yes": "1"}
    if len(values) < min(len(wanted), 2):
        values = {}
    values[MISSING] = MISSING
    letters = _letters(set(seen.values()), frozenset(values))
    told = {code: _WORDS.get(word) or letters.get(word, "") for code, word in seen.items()}
    return {code: values[concept] for code, concept in told.items() if concept in values}


def _concepts(wanted: Sequence[str]) -> dict[str, str]:
    """Return which of the agreement's values stand for which concept."""
    words = {value: _plain(value) for value in wanted}
    found = {value: _WORDS[word] for value, word in words.items() if word in _WORDS}
    if found:
        return found
    for concepts, _ in _PAIRS:
        letters = _letters(set(words.values()), concepts)
        if len(set(letters.values())) == len(wanted):
            return {value: letters[word] for value, word in words.items()}
    return {}


def _letters(seen: set[str], concepts: frozenset[str]) -> dict[str, str]:
    """Return what single letters stand for, as far as all pairs that fit agree."""
    able = [pair for both, pair in _PAIRS if both <= concepts]
    single = {word for word in seen if len(word) == 1}
    fitting = [pair for pair in able if pair.keys() <= single]
    fitting = fitting or [pair for pair in able if len(single) == 1 and single <= pair.keys()]
    said: dict[str, set[str]] = {}
    for pair in fitting:
        for letter, concept in pair.items():
            said.setdefault(letter, set()).add(concept)
    return {
        letter: next(iter(meant))
        for letter, meant in said.items()
        if letter in single and len(meant) == 1
    }


def _plain(text: str) -> str:
    return "".join(sign for sign in folded(text) if sign not in " .-_")
