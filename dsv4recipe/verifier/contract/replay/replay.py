"""Floor 4, verifier. Replays one loader on a bundle: sanitize, class predicate, comparison, verdict. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dsv4recipe.bundle.view import BundleView
from dsv4recipe.checkpoint.dims import Dims
from dsv4recipe.checkpoint.family import Family
from dsv4recipe.runtimes import loaders
from dsv4recipe.runtimes.common import rules
from dsv4recipe.runtimes.common.loader import Given, Linear, Loader, Stored
from dsv4recipe.runtimes.vmlx.target import VMLX
from dsv4recipe.units import counted
from dsv4recipe.verifier.contract.picture import Picture, SeenModule, look
from dsv4recipe.verifier.contract.replay.audit import UNMARKED, audit, jang_group
from dsv4recipe.verifier.contract.replay.fused import fuse
from dsv4recipe.verifier.contract.replay.outlook import (
    GARBAGE,
    LOADS,
    RANDOM,
    REFUSED,
    SHAPES,
    STRICT,
    UNKNOWN,
    UNSUPPORTED,
    Outlook,
    Wrapped,
)
from dsv4recipe.verifier.contract.replay.tensors import collapse, indexed, stack

MATRIX = (
    "routed-expert", "attention", "compressor", "indexer", "shared-expert", "embedding", "lm-head", "mtp-projection",
    "markov-head",
)  # fmt: skip
"""Roles whose modules MLX can quantize. The router is a bare array in every class."""

_MXTQ = (".tq_packed", ".tq_norms", ".tq_bits")


def outlooks(view: BundleView, family: Family) -> tuple[Outlook, ...]:
    """Returns what would happen in every loader known for the family; () if there is none."""
    known = loaders(family.name)
    if not known:
        return ()
    dims = family.dims_of(dict(view.config), str(view.root / "config.json"))
    disk, picture = collapse(view.tensors), look(view, family, VMLX)
    return tuple(_Replay(loader, view, picture, dims, disk).outlook() for loader in known)


@dataclass
class _Replay:
    """Replays one bundle in one loader and collects what it finds. `picture` uses vMLX's names: the modules are those
    of every class, and its disk stems are those from which MXTQ is hydrated."""

    loader: Loader
    view: BundleView
    picture: Picture
    dims: Dims
    disk: Given
    wrapped: list[Wrapped] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    nan: list[str] = field(default_factory=list)

    def outlook(self) -> Outlook:
        if self.loader.unsupported:
            return self._end(UNSUPPORTED, (self.loader.unsupported,))
        twice = self._stored_twice()
        self.refused += audit(self.loader, self.view, self.disk)
        if UNMARKED in self.refused:
            return self._end(
                UNKNOWN, ("jang_config.json does not mark it as a JANG bundle, so it is treated as stock MLX",)
            )
        given = self._given()
        wanted = self._wanted(given)
        unexpected = {name: tensor.count for name, tensor in given.items() if name not in wanted}
        missing = [name for name in wanted if name not in given]
        misshapen = [n for n, shape in wanted.items() if n in given and given[n].shape != shape]
        counts = {"unexpected": sum(unexpected.values()), "missing": len(missing), "misshapen": len(misshapen)}
        found = (tuple(unexpected), tuple(missing), counts)
        words = [f"{n:,} {what}" for what, n in counts.items() if n]
        if self.refused:
            return self._end(REFUSED, tuple(self.refused), *found)
        if self.loader.strict:
            if self.problems or words:
                return self._end(STRICT, (*self.problems, *_message(counts, unexpected, missing, misshapen)), *found)
            return self._end(UNKNOWN, twice, *found) if twice else self._end(LOADS)
        if self.problems:
            return self._end(STRICT, tuple(self.problems), *found)
        lost = [name for name in missing if name.removesuffix(".biases") not in self.nan]
        if lost:
            why = [f"{len(lost):,} parameters keep their random initial values, such as {lost[0]}"]
            if unexpected:
                first = next(iter(unexpected))
                why.append(f"{counts['unexpected']:,} tensors are silently ignored, such as {first} (after sanitize)")
            return self._end(RANDOM, tuple(why), *found)
        if misshapen:
            return self._end(
                SHAPES, tuple(str(each) for each in self.wrapped[:3]) or (f"shape of {misshapen[0]}",), *found
            )
        if self.nan:
            return self._end(GARBAGE, tuple(str(each) for each in self.wrapped[:3]), *found)
        if twice:
            return self._end(UNKNOWN, twice, *found)
        aside = (f"{counted(counts['unexpected'], 'tensor')} silently ignored",) if unexpected else ()
        return self._end(LOADS, aside, *found)

    def _end(
        self,
        verdict: str,
        why: tuple[str, ...] = (),
        ignored: tuple[str, ...] = (),
        random: tuple[str, ...] = (),
        counts: Mapping[str, int] | None = None,
    ) -> Outlook:
        loader = self.loader
        return Outlook(loader.name, loader.version, verdict, why, ignored, random, tuple(self.wrapped), counts or {})

    def _stored_twice(self) -> tuple[str, ...]:
        """Returns why nobody can say what a loader that globs would read: names in two shards."""
        if self.loader.by_index or sum(len(header.tensors) for header in self.view.shards) == len(self.view.shard_of):
            return ()
        return ("some tensors are in two shards, and it takes whichever file it reads last",)

    def _given(self) -> Given:
        """Returns the tensors that the loader passes to the model: its shards' names through its sanitizer, with
        experts stacked."""
        read = self.disk if not self.loader.by_index else indexed(self.view, self.disk)
        renamed: Given = {}
        for name, tensor in read.items():
            new = None if _dropped(name, self.dims) else self._renamed(name)
            if new is not None:
                renamed[new] = tensor
        if self.loader.mxtq:
            renamed = self._hydrated(renamed)
        found, problem = stack(renamed, self.loader.stacks, self.dims.experts)
        self.problems += [problem] if problem else []
        self._split_rows(found)
        if self.loader.by_shard:
            self._experts_over_shards()
        if self.loader.target.names.wrapper:
            found = {self._wrapped_name(name): tensor for name, tensor in found.items()}
        return found

    @property
    def _drafts(self) -> bool:
        """Returns whether the class has modules for the MTP stages of this bundle; Rapid-MLX asks config.json."""
        return self.dims.stage in self.loader.target.mtp_paths and bool(self.view.config.get("dspark_num_layers"))

    def _renamed(self, name: str) -> str | None:
        stage = self.loader.rename_stage
        return stage(name) if stage and self._drafts and name.startswith("mtp.") else self.loader.rename(name)

    def _wrapped_name(self, name: str) -> str:
        """Returns the name inside the wrapper, which a class assigns after it has stacked experts."""
        return self.loader.target.names.wrapper + name if name.startswith(("model.", "lm_head.")) else name

    def _hydrated(self, renamed: Given) -> Given:
        """Replaces MXTQ groups by the plain weight of their module, because jang and vMLX use their own module
        there."""
        found = {name: tensor for name, tensor in renamed.items() if not name.endswith(_MXTQ)}
        owners = {stem: module for module in self.picture.modules.values() for stem in module.stems}
        groups = {
            stem for stem, parts in self.view.tensors.items() if ".tq_packed" in parts and not stem.startswith("mtp.")
        }
        strange = sorted(stem for stem in groups if stem not in owners)
        if strange:
            self.problems.append(f"TQ tensor groups have no target module, such as {strange[0]}")
        first = {entry.name for header in self.view.shards[:1] for entry in header.tensors}
        prestacked = [stem for stem in groups if ".switch_mlp." in stem]
        if prestacked and not any(f"{stem}.tq_packed" in first for stem in prestacked):
            self.problems.append("the first shard holds no prestacked MXTQ expert: saw non-routed TQ key")
        for module in {id(m): m for s, m in owners.items() if s in groups}.values():
            path = self.loader.target.path(module.slot)
            if path is not None:
                found[f"{path}.weight"] = Stored("F16", (module.experts, *module.shape))
        return found

    def _split_rows(self, given: Given) -> None:
        """Splits an unsplit `wo_a`, as the sanitizers of the classes that need it split do."""
        for module in self.picture.modules.values():
            groups = self.loader.target.groups(module.slot, self.dims)
            path = self.loader.target.names.inner(module.slot.stem)
            for suffix in (".weight", ".scales", ".biases") if groups else ():
                tensor = given.get(path + suffix)
                if tensor is not None and len(tensor.shape) == 2:
                    rows, columns = tensor.shape
                    given[path + suffix] = Stored(tensor.dtype, (groups, rows // groups, columns))

    def _experts_over_shards(self) -> None:
        for module in self.picture.modules.values():
            if not (module.per_expert and module.path is not None and ".scales" in module.parts):
                continue
            if len({self.view.shard_of[stem + suffix] for stem, parts in module.stems.items() for suffix in parts}) > 1:
                self.problems.append(f"KeyError: {module.name}: its experts lie in several shards")
                return

    def _wanted(self, given: Given) -> dict[str, tuple[int, ...]]:
        """Returns parameter → shape of the model, with its modules quantized by the loader's rule."""
        section = self._section()
        wanted: dict[str, tuple[int, ...]] = {}
        for module in self.picture.modules.values():
            path = self.loader.target.path(module.slot)
            if path is None or (module.slot.block == "mtp" and not self._drafts):
                continue
            if module.slot.row.role not in MATRIX or len(module.shape) != 2:
                named = ".weight" if module.slot.row.pattern.endswith(".weight") else ""
                wanted[path + named] = module.shape
                continue
            linear = self._linear(module, path)
            hydrated = module.packed_mxtq and self.loader.mxtq
            entry = None if section is None or hydrated else self.loader.rule(linear, section, given)
            wanted.update(self._parameters(linear, entry, given))
        if self.loader.fuses and section is not None:
            self.problems += fuse(self.dims, section, given, wanted)
        return wanted

    def _section(self) -> Mapping[str, Any] | None:
        """Returns the `quantization` section as the loader has it when it applies its rule, or None if it quantizes
        nothing."""
        section, legacy = self.view.config.get("quantization"), self.view.config.get("quantization_config")
        if not isinstance(section, dict):
            if isinstance(legacy, dict) and "quant_method" not in legacy:
                self.problems.append("KeyError: quant_method (config.json has no `quantization`)")
            elif isinstance(legacy, dict):
                self.problems.append("config.json has the source's quantization_config and no `quantization`")
            return None
        if type(section.get("bits")) is not int or type(section.get("group_size")) is not int:
            self.problems.append("KeyError: `quantization` has no global bits and group_size")
            return None
        if self.loader.repair and not any(".tq_packed" in name for name in self.disk):
            return self.loader.repair(section, self.view.tensors, jang_group(self.view))
        return self.loader.section(section)

    def _linear(self, module: SeenModule, path: str) -> Linear:
        rows, width = module.shape
        groups = self.loader.target.groups(module.slot, self.dims)
        lead = (module.experts,) if module.experts else (groups,) if groups else ()
        lookups = self.loader.target.names.lookups(module.slot.stem)
        return Linear(path, lead, rows // groups if groups else rows, width, lookups)

    def _parameters(
        self, linear: Linear, entry: Mapping[str, Any] | None, given: Given
    ) -> Iterator[tuple[str, tuple[int, ...]]]:
        outer = (*linear.lead, linear.rows)
        weight, scales = (given.get(linear.path + suffix) for suffix in (".weight", ".scales"))
        if entry is None:
            yield f"{linear.path}.weight", (*outer, linear.width)
            return
        if "problem" not in entry and self.loader.correct and weight and scales and weight.shape and scales.shape:
            entry = self.loader.correct(entry, weight.shape[-1], scales.shape[-1], scales.dtype)
        problem = rules.unmakeable(linear, entry)
        if problem:
            self.problems.append(f"{linear.path}: {problem}")
            return
        bits, group, affine = entry["bits"], entry["group_size"], entry["mode"] == "affine"
        shapes = {".weight": linear.width * bits // 32, ".scales": linear.width // group}
        stored = _described(linear.width, weight, scales)
        asked = f"{entry['mode']} {bits}-bit g{group}"
        if stored and stored != asked:
            self.wrapped.append(Wrapped(linear.path, asked, stored))
            if scales is not None and scales.dtype == "U8" and affine:
                self.nan.append(linear.path)
        for suffix, columns in (*shapes.items(), *(((".biases", shapes[".scales"]),) if affine else ())):
            yield linear.path + suffix, (*outer, columns)


def _message(
    counts: Mapping[str, int], unexpected: Mapping[str, int], missing: list[str], misshapen: list[str]
) -> Iterator[str]:
    """Yields the text of MLX's own error messages, in its order."""
    if unexpected:
        yield f"Received {counts['unexpected']:,} parameters not in model, first {next(iter(unexpected))}"
    if missing:
        yield f"Missing {len(missing):,} parameters, first {missing[0]}"
    if misshapen:
        yield f"Expected other shapes of {counted(len(misshapen), 'parameter')}, first {misshapen[0]}"


def _described(width: int, weight: Stored | None, scales: Stored | None) -> str:
    if weight is None or scales is None or not weight.shape or not scales.shape or not scales.shape[-1]:
        return ""
    bits, group = weight.shape[-1] * 32 // width, width // scales.shape[-1]
    mode = "affine" if scales.dtype != "U8" else f"mxfp{bits}" if group == 32 else "nvfp4"
    return f"{mode} {bits}-bit g{group}"


def _dropped(name: str, dims: Dims) -> bool:
    """Returns whether the tensor belongs to layers beyond the config's, which sanitizers drop."""
    hit = re.match(r"layers\.(\d+)\.", name)
    return hit is not None and int(hit[1]) >= dims.layers
