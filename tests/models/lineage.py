"""What a feature may be made from: staging models that say when each of their rows was known, and settings.

A model that reads the newest version of a row, or a figure made from such rows, may know what came after the
as-of day. It is refused for what it reads, however it uses it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

KNOWN_COLUMNS = frozenset({"recorded_at", "known_from", "known_until"})
SETTINGS = frozenset({"stg_meta__build", "stg_meta__policy"})
FEATURE_MODEL = "int_account_features"


def ancestors(reads: Mapping[str, Sequence[str]], model: str) -> set[str]:
    """All models that a model is made from. reads: the models that each one reads."""
    found: set[str] = set()
    waiting = list(reads[model])
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += reads[name]
    return found


def refuse_foreign_inputs(
    reads: Mapping[str, Sequence[str]], columns: Mapping[str, Collection[str]], model: str = FEATURE_MODEL
) -> None:
    """Raises ValueError where a model rests on a source that does not say when its rows were known.

    reads: the models that each model reads; columns: the columns of each.
    """
    foreign = sorted(
        name
        for name in ancestors(reads, model) - SETTINGS
        if not (set(reads[name]) - SETTINGS) and not set(columns[name]) >= KNOWN_COLUMNS
    )
    if foreign:
        raise ValueError(
            f"{model} reads {', '.join(foreign)}, which does not say when its rows were known: "
            "features may read only staging models with recorded_at, known_from and known_until"
        )


def refuse_missing_columns(
    names: Iterable[str], columns: Collection[str], model: str = FEATURE_MODEL
) -> None:
    """Raises ValueError where a feature is no column of the model that features are made in."""
    missing = [name for name in names if name not in columns]
    if missing:
        raise ValueError(f"{model} has no column {', '.join(missing)}: only its columns may be features")
