"""Floor 4, evaluation. Whether a text to measure on is news to the record that a model was fitted by. Pure."""

from __future__ import annotations

from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.evaluation.text import Text, fingerprint, overlap
from dsv4recipe.records.model import Record

_SHARED = 0.05
"""Texts of one author share set phrases of 24 tokens here and there; whoever shares more shares pages."""


def check_unseen(record: Record, text: Text) -> None:
    """Raises RecipeError K024 if more than a twentieth of the runs of tokens that stand for one of the two texts stand
    for the other too: a model looks better than it is on what it was fitted to."""
    said = record.manifest["text"]
    same = said["digest"] == text.digest
    share = 1.0 if same else overlap(said.get("fingerprint", ()), fingerprint(text.ids))
    if share > _SHARED:
        message = f"the text to measure on is {100 * share:.0f} % the same as the text that the record was made from"
        hint = "measure on text that the record has not seen, or calibrate on other text"
        raise RecipeError("K024", message, Where(record.file), hint)
