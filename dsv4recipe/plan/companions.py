"""Floor 3, plan. Checks the files beside the shards before any work begins. Reads small source files.

A file that the source lacks would stop a build only after hours. Therefore `make_plan` asks the target to make its side
files, and discards them.
"""

from __future__ import annotations

from dsv4recipe.checkpoint.dims import text_section
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.plan.model import Plan
from dsv4recipe.plan.provenance import claimed
from dsv4recipe.plan.texts import Texts
from dsv4recipe.runtimes import SideInput, get
from dsv4recipe.runtimes.common.side_files import beyond, load
from dsv4recipe.runtimes.common.target import Placed

_SHOWN = 8
TOKENIZER = "tokenizer.json"


def side_input(plan: Plan, checkpoint: Checkpoint) -> SideInput:
    """Returns what the plan's target may read to make its side files."""
    files = tuple(
        name for name in checkpoint.folder.source.tree() if not name.endswith((".safetensors", ".index.json"))
    )
    return SideInput(
        recipe_name=plan.recipe["name"],
        model=claimed(plan.source)[0],
        config=checkpoint.config,
        quantization=plan.overrides,
        modules=[Placed(m.role, m.projection, m.block, m.layer, m.source, m.format) for m in plan.modules],
        files=files,
        texts=Texts(checkpoint.folder, tuple(name for name in files if name.endswith((".json", ".py")))),
        experts=plan.target["experts"],
        mtp=plan.target["mtp"],
        half=plan.target["half"],
    )


def check_companions(plan: Plan, checkpoint: Checkpoint) -> None:
    """Checks a plan's side files. A layout has no files and is not checked.

    Raises RecipeError T020 to T025 if the source lacks a file, a key or a token that the bundle needs, and T024 for
    token ids beyond the rows of the embedding.
    """
    target = get(plan.target["runtime"], plan.source.family)
    folder = checkpoint.folder
    if not folder.files or not folder.source.real:
        return
    side = side_input(plan, checkpoint)
    target.side_files(side)
    rows = text_section(checkpoint.config)["vocab_size"]
    odd = beyond(load(side, TOKENIZER), rows)
    if odd:
        message = f"{len(odd):,} tokens have ids beyond the {rows:,} rows of the embedding; the first is {odd[0][1]:,}"
        hint = "use the tokenizer.json that belongs to these weights, or remove the tokens that were added to it"
        notes = [f"{token!r:.80} has the id {number:,}" for token, number in odd[:_SHOWN]]
        raise RecipeError("T024", message, Where(TOKENIZER), hint, notes)
