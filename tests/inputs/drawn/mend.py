"""Does what the help of a refusal says, where that is an edit or a command: it must work."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace

from dsv4recipe.errors import Diagnostic
from dsv4recipe.recipe.model import Recipe
from tests.inputs.drawn import storage
from tests.inputs.drawn.model import Drawn

_TARGET = re.compile(r"write `(mtp|experts|half): ([\w-]+)`")
_CONFIG = re.compile(r"write (\w+): (\d+)$")
_SET = re.compile(r"set (\w+) to (\d+) in config\.json")
_MISSING = re.compile(r"(tokenizer\.json|encoding/encoding_dsv4\.py|generation_config\.json)")
EDITS = frozenset({"C026", "C068", "T004", "T005", "T006", "T008", "T019", "T024"})
"""Codes whose help is always an edit or a command: one that `mend` does not understand is a fault."""
_KEYS = ("rope_scaling", "swiglu_limit", "compress_ratios")


def mend(drawn: Drawn, recipe: Recipe, found: Sequence[Diagnostic]) -> tuple[Recipe, set[str]]:
    """Returns the recipe as edited, and the messages whose help was followed; files are edited in place."""
    done: set[str] = set()
    for each in found:
        text = f"{each.hint}\n{each.message}"
        if match := _TARGET.search(each.hint):
            if each.code == "T019" and drawn.some(0.5):
                _config(drawn, {"num_nextn_predict_layers": 0})
            else:
                recipe = replace(recipe, target=replace(recipe.target, **{match[1]: match[2]}))
        elif match := _CONFIG.search(each.hint) or _SET.search(each.hint):
            _config(drawn, {match[1]: int(match[2])})
        elif each.hint.startswith("remove model.safetensors.index.json"):
            storage.remove_index(drawn)
        elif each.code == "T024" or (each.code == "T031" and each.message.startswith("tokenizer.json")):
            storage.restore(drawn, "tokenizer.json")
        elif each.code in ("T020", "T021", "T022", "C063", "C010", "T030") and (match := _MISSING.search(text)):
            storage.restore(drawn, match[1])
        elif each.code in ("T020", "C010", "T030") and any(key in text for key in _KEYS):
            whole = json.loads((drawn.base / "config.json").read_text(encoding="utf-8"))
            whole = whole.get("text_config") or whole
            _config(drawn, {key: whole[key] for key in _KEYS if key in text and key in whole})
        else:
            continue
        done.add(each.message)
    return recipe, done


def _config(drawn: Drawn, values: dict[str, object]) -> None:
    """Edits config.json where it has the numbers of the model."""
    drawn.section.update(values)
    (drawn.folder / "config.json").write_text(json.dumps(drawn.config), encoding="utf-8")
