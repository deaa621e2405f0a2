"""Floor 4, evaluation. Whether evidence is of a plan and of a checkpoint. Reads some weights of the checkpoint."""

from __future__ import annotations

import hashlib
from pathlib import Path

from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import RecipeError, Where
from dsv4recipe.evaluation.evidence import Evidence, recipe_digest
from dsv4recipe.forward.weights import SourceWeights
from dsv4recipe.plan.model import Plan


def weights_digest(checkpoint: Checkpoint) -> str:
    """Returns the sha256 of the checkpoint's last norm and of the matrices that fold its streams: bytes that
    differ between a model and another one in the same layout, whose headers are alike."""
    weights = SourceWeights(checkpoint)
    found = hashlib.sha256()
    for group in checkpoint.groups:
        if group.slot.layer is None and group.names.startswith(("norm.", "hc_head_")):
            found.update(group.names.encode())
            found.update(weights.tensor(group).astype("<f4").tobytes())
    return found.hexdigest()


def check_evidence(evidence: Evidence, plan: Plan, path: Path, checkpoint: Checkpoint | None = None) -> None:
    """Raises RecipeError M031 where the evidence is neither of this plan nor of its recipe on another checkpoint. With
    the checkpoint, some of its weights must be those that were measured, where the plan itself was."""
    where = Where(str(path))
    if evidence.is_of(plan):
        said = evidence.data["source"].get("weights_digest")
        if checkpoint is not None and said is not None and said != weights_digest(checkpoint):
            message = "it was measured on another checkpoint with the same headers: its weights are others"
            raise RecipeError("M031", message, where, "evaluate this recipe against this source, and give that file")
        return
    if evidence.recipe != recipe_digest(plan.recipe):
        message = f"it was measured on plan {evidence.plan[:12] or 'unknown'}, this plan is {plan.digest[:12]}"
        raise RecipeError("M031", message, where, "evaluate this recipe against this source, and give that file",
                          ("their recipes differ, too",))  # fmt: skip
