"""Floor 4, builder. Opens a bundle for writing, resumes and publishes it, with one strategy per container.

`making_of` chooses the strategy once per build; nothing else in this room asks for the container.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dsv4recipe.builder import lease, side
from dsv4recipe.builder.engine import Opened
from dsv4recipe.builder.lease import Lease
from dsv4recipe.builder.publish import OWN, OWN_OF_FILE, publish_file, publish_folder, tidy
from dsv4recipe.builder.resumable import ResumableShard, proven_bytes
from dsv4recipe.builder.shard import OpenShard, ShardTask
from dsv4recipe.bundle.places import FOLDER, ONE_FILE, Places, places_for
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.plan.model import Plan

Finished = Callable[[], bool]
"""Returns whether another build has published the same bundle in the meantime."""


@dataclass(frozen=True)
class Making:
    """Describes how one container is made.

    `opened` makes a writable file. `in_order` says that it must grow from its start. `proven` returns how many valid
    bytes of it an interrupted build left. `side_files` returns the files beside the shards, with what the card says of
    quality. `own` lists what the build keeps in its folder and removes at the end. `publish` gives the finished work
    its name. `tidy` removes what may be left of the work after that."""

    places: Places
    opened: Opened
    in_order: bool
    proven: Callable[[Path, ShardTask], int]
    side_files: Callable[[Plan, Checkpoint, str], dict[str, bytes]]
    own: frozenset[str]
    publish: Callable[[Path, Path, Plan, Lease, Finished], None]
    tidy: Callable[[Path, Plan], None]


def _tidy_file(partial: Path, plan: Plan) -> None:
    if partial.is_dir():
        with lease.held(partial) as mine:
            tidy(partial, plan.shards[0].file, mine)


MAKINGS = (
    Making(
        places=FOLDER,
        opened=OpenShard,
        in_order=False,
        proven=lambda partial, task: 0,
        side_files=lambda plan, checkpoint, quality: side.side_files(plan, checkpoint, quality),  # noqa: PLW0108 - tests replace it
        own=OWN,
        publish=lambda partial, out, plan, mine, finished: publish_folder(partial, out, mine, finished),
        tidy=lambda partial, plan: None,
    ),
    Making(
        places=ONE_FILE,
        opened=ResumableShard,
        in_order=True,
        proven=proven_bytes,
        side_files=lambda plan, checkpoint, quality: side.plan_file(plan),
        own=OWN_OF_FILE,
        publish=lambda partial, out, plan, mine, finished: publish_file(
            partial, out, plan.shards[0].file, mine, finished
        ),
        tidy=_tidy_file,
    ),
)


def making_of(plan: Plan) -> Making:
    """Returns how the bundle of a plan is made."""
    places = places_for(plan)
    return next(making for making in MAKINGS if making.places is places)
