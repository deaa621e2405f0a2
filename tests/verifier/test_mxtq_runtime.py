"""MXTQ bundles against the programs of others: jang's encoder and converter, its prestack verifier, vMLX's audits, and
both loaders with a forward pass. What is not installed is skipped by name.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from dsv4recipe import build, load_recipe, make_plan
from dsv4recipe.allocation.run import Wishes, prepare
from dsv4recipe.allocation.write import write
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.formats import Mxtq, SourceTensor
from dsv4recipe.formats.decode import decode_parts, decode_source
from dsv4recipe.verifier.numbers.judge import mlx_agrees
from dsv4recipe.verifier.runtime.child import probe_runtime
from dsv4recipe.verifier.runtime.findings import runtime_findings
from dsv4recipe.verifier.runtime.probe.decoded import decode_mxtq
from dsv4recipe.verifier.runtime.probe_result import Ended, Failure, Likeness

RECIPES = ("jangtq2", "jangtq2-per-expert", "jangtq2-k", "jangtq-hash4")
COSINE = 0.9999
SIDECAR = "jangtq_runtime.safetensors"
CONVERTER = "DSV4RECIPE_CONVERTER_PYTHON"
"""An interpreter that has jang and torch, where this one lacks torch."""

Make = Callable[[str], Path]


@pytest.fixture(scope="module")
def made(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Make:
    @cache
    def make(name: str) -> Path:
        return build(make_plan(load_recipe(name), tiny), tiny, tmp_path_factory.mktemp("mxtq") / name)

    return make


def stored(bundle: Path) -> dict[str, np.ndarray]:
    return {n: a for file in sorted(bundle.glob("model-*.safetensors")) for n, a in load_file(file).items()}


def needs(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: scripts/setup dev,runtimes installs it")


def child(code: str, home: Path, *arguments: object) -> Any:
    """What `code`, run with `arguments` in a process and a home of its own, prints last, as JSON."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = os.environ | {"HOME": str(home)}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("recipe", "loader"),
    [*((recipe, "jang") for recipe in RECIPES), ("jangtq2-per-expert", "vmlx"), ("jangtq-hash4", "vmlx")],
)
def test_the_loader_runs_what_the_tensors_say(made: Make, recipe: str, loader: str) -> None:
    """Names, routing, widths, seed and sidecar: logits as those of an independent dense decode of the same tensors."""
    needs("vmlx_engine" if loader == "vmlx" else "jang_tools")
    tokens = None if recipe == "jangtq2" else 12  # once past the window and the indexer's top-k
    result = probe_runtime(made(recipe), loader, decoded=True, tokens=tokens)
    assert [finding.code for finding in runtime_findings(result)] == []
    assert (result.missing, result.unexpected, result.changed) == ((), (), ())
    wide = {"mxtq 2-bit": 3, "mxtq 4-bit": 9} if recipe == "jangtq-hash4" else {"mxtq 2-bit": 12}
    assert dict(result.kinds) == {"affine 8-bit g32": 42} | wide
    assert dict(result.dtypes) == {"embedding": "float16", "hidden": "float16"}
    assert result.decoded is not None
    assert result.decoded.nine_in_ten >= COSINE
    assert result.decoded.top1 > 0.98


def test_the_independent_decoder_agrees_with_ours(made: Make) -> None:
    """Two decoders, two sources of constants: the probe's reads the sidecar, ours embeds codebooks."""
    data, tables = stored(made("jangtq-hash4")), load_file(made("jangtq-hash4") / SIDECAR)
    for stem, rows, width, bits in (("layers.0.mlp.switch_mlp.down_proj", 256, 128, 4),
                                    ("layers.3.mlp.switch_mlp.up_proj", 128, 256, 2)):  # fmt: skip
        packed, norms = data[f"{stem}.tq_packed"], data[f"{stem}.tq_norms"]
        theirs = decode_mxtq(packed, norms, bits, tables[f"signs.{width}.42"], tables[f"codebook.{width}.{bits}"])
        source = SourceTensor("f32", (rows, width), "F32")
        ours = np.stack([decode_parts(Mxtq(bits), source, pair) for pair in zip(packed, norms, strict=True)])
        assert theirs.shape == ours.shape == (8, rows, width)
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-6 * np.abs(ours).max())


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"decoded": Likeness(12, 0.99991, 0.9998, 0.9, 0.1, 1.0, 0.3, 1.0)}, [("V224", "error")]),
        ({"decoded": Likeness(12, 0.9, 0.99991, 0.9, 0.1, 1.0, 0.02, 1.0)}, []),
        ({"failures": (Failure("decoded", "KeyError", "signs.256.42"),)}, [("V225", "error")]),
        ({"failures": (Failure("decoded", "MemoryError", "too large"),)}, [("V216", "warning")]),
    ],
)
def test_what_the_comparison_means_to_a_user(tmp_path: Path, change: Any, found: Any) -> None:
    result = replace(probe_runtime(tmp_path, "jang", tmp_path / "nowhere"), ended=Ended.REPORTED, **change)
    assert [(finding.code, finding.severity) for finding in runtime_findings(result)] == found


def test_every_code_and_norm_is_what_the_encoder_of_jang_gives(made: Make, tiny: Checkpoint) -> None:
    needs("jang_tools")
    from jang_tools.turboquant import linear

    found, compared = stored(made("jangtq2-per-expert")), 0
    for group in tiny.groups:
        if group.slot.row.role != "routed-expert":
            continue
        for tensor in group.members[::3]:
            weight, scale = ((tiny.folder.root / file, entry) for file, entry in
                             ((tensor.file, tensor.weight), (tensor.scale_file, tensor.scale)))  # fmt: skip
            raw = [np.fromfile(path, np.uint8, entry.end - entry.start, offset=entry.start)
                   for path, entry in (weight, scale)]  # fmt: skip
            theirs = linear.tq_quantize_weight(decode_source(tensor.source, *raw), bits=2, seed=42)
            stem = tensor.name.removesuffix(".weight")
            assert found[f"{stem}.tq_packed"].tobytes() == theirs["packed"].tobytes(), stem
            assert found[f"{stem}.tq_norms"].tobytes() == theirs["norms"].tobytes(), stem
            compared += 1
    assert compared == 45


def test_the_decoder_of_jang_and_the_judge_read_what_we_read(made: Make) -> None:
    needs("jang_tools")
    import mlx.core as mx
    from jang_tools.turboquant import linear

    found = stored(made("jangtq2"))
    stem = "layers.1.mlp.switch_mlp.down_proj"
    packed, norms = found[f"{stem}.tq_packed"], found[f"{stem}.tq_norms"]
    source = SourceTensor("fp4", (packed.shape[1], packed.shape[2] * 16), "I8")
    theirs = linear.TurboQuantSwitchLinear(source.shape[1], source.shape[0], len(packed), bits=2)
    theirs.packed, theirs.norms = mx.array(packed), mx.array(norms)
    few = (packed[3], norms[3].view(np.uint16))
    ours = decode_parts(Mxtq(2), source, few)
    np.testing.assert_allclose(np.array(theirs._dequant_experts([3]))[0], ours, rtol=0, atol=1e-6 * np.abs(ours).max())
    assert mlx_agrees(Mxtq(2), source, few)


def test_the_sidecar_is_what_jang_builds_for_the_same_bundle(made: Make, tmp_path: Path) -> None:
    needs("jang_tools")
    for recipe in ("jangtq-hash4", "jangtq2-per-expert"):
        copy = tmp_path / recipe
        copy.mkdir()
        for path in made(recipe).iterdir():
            if path.is_file() and path.name != SIDECAR:
                (copy / path.name).symlink_to(path)
        command = [sys.executable, "-m", "jang_tools.build_jangtq_sidecar", str(copy)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert ended.returncode == 0, ended.stderr
        assert (copy / SIDECAR).read_bytes() == (made(recipe) / SIDECAR).read_bytes()


AUDIT = """
import json, sys, mlx.core
from pathlib import Path
from vmlx_engine.loaders import load_jangtq_dsv4 as vmlx
from vmlx_engine.model_bundle_integrity import check_model_bundle
from vmlx_engine.model_config_registry import get_model_config_registry
out = {}
for bundle in sys.argv[1:]:
    plan = vmlx._audit_dsv4_artifact_bit_plan(bundle)
    whole = check_model_bundle(bundle, repair=False)
    control = vmlx._audit_dsv4_control_tensor_dtypes(bundle)
    seen = get_model_config_registry().lookup(bundle)
    out[Path(bundle).name] = [plan["issues"], plan["metadata_matches_actual"], plan["routed_layer_bits"],
        plan["sidecar"]["missing_keys"], control["checked"], control["non_f32_count"],
        [whole[key] for key in ("status", "detected_misaligned_tensors", "repairs", "warnings")],
        [seen.reasoning_parser, seen.tool_parser]]
print(json.dumps(out))
"""


def test_the_audits_of_vmlx_find_what_was_announced(made: Make, tmp_path: Path) -> None:
    """Widths, sidecar keys, control dtypes, nothing to repair, and the parsers it would serve with."""
    needs("vmlx_engine")
    widths = {
        "jangtq2": {str(layer): 2 for layer in range(4)},
        "jangtq2-per-expert": {},  # it reads prestacked widths only
        "jangtq2-k": {str(layer): 2 for layer in range(4)},
        "jangtq-hash4": {"0": 4, "1": 4, "2": 4, "3": 2},
    }
    assert child(AUDIT, tmp_path, *map(made, RECIPES)) == {
        recipe: [[], True, found, [], True, 0, ["ok", 0, [], []], ["deepseek_r1", "dsml"]]
        for recipe, found in widths.items()
    }


def test_vmlx_audits_and_runs_what_allocate_mixed(tiny: Checkpoint, tmp_path: Path) -> None:
    """Layers of MXTQ beside layers whose experts are affine, mxfp4, or both: what a budget buys there is what loads."""
    needs("vmlx_engine")
    problem = prepare(load_recipe("jangtq2"), tiny, Wishes(sample=4))
    low, high = problem.limits
    plan = write(problem, problem.spend(low + (high - low) // 20), "mixed", "tests.", "nothing").plan
    experts = [module for module in plan.modules if module.role == "routed-expert" and module.block == "main"]
    layers = {str(layer): {m.format.kind for m in experts if m.layer == layer} for layer in range(4)}
    assert {"affine"} in layers.values()
    assert {"affine", "mxfp4"} in layers.values()
    bundle = build(plan, tiny, tmp_path / "mixed")
    whole = {layer: 2 for layer, kinds in layers.items() if kinds == {"mxtq"}}
    assert 0 < len(whole) < 4
    audited = child(AUDIT, tmp_path, bundle)["mixed"]
    assert audited == [[], True, whole, [], True, 0, ["ok", 0, [], []], ["deepseek_r1", "dsml"]]
    result = probe_runtime(bundle, "vmlx", decoded=True, tokens=12)
    assert {finding.code for finding in runtime_findings(result)} <= {"V219"}  # the installation's
    assert (result.missing, result.unexpected, result.changed) == ((), (), ())
    assert result.decoded is not None
    assert result.decoded.nine_in_ten >= COSINE


PRESTACK = """
import json, sys
from jang_tools.verify_jangtq_prestacked import VerificationError, verify
out = []
for bundle in sys.argv[1:]:
    try:
        report = verify(bundle)
        out.append([report.prestack_triplets, report.errors + report.warnings])
    except VerificationError as error:
        out.append([0, error.errors])
print(json.dumps(out))
"""


def test_the_prestack_verifier_passes_once_mtp_is_gone(made: Make, tmp_path: Path) -> None:
    """It forbids per-expert MXTQ keys everywhere, while every loader wants MTP experts so and drops them: with MTP kept
    it refuses our bundles for those keys alone, as it refuses those of jang's own converter."""
    needs("jang_tools")
    kept, dropped, hashed = child(PRESTACK, tmp_path, made("jangtq2"), made("jangtq2-k"), made("jangtq-hash4"))
    assert dropped == [12, []]
    for _, errors in (kept, hashed):
        assert len(errors) == 1
        assert errors[0].startswith("per-expert TQ keys present (72)")  # 8 experts × 3 projections × 3 tensors of MTP
        assert "mtp.0.ffn.experts.0.w1.tq_bits" in errors[0]


def converter() -> str:
    """The interpreter that can run jang's converter, which needs torch to read the source."""
    python = os.environ.get(CONVERTER, "")
    if not python:
        for package in ("jang_tools", "torch"):
            if importlib.util.find_spec(package) is None:
                pytest.skip(f"{package} is not installed; {CONVERTER} may name an interpreter that has jang and torch")
        python = sys.executable
    return python


@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        ("jangtq2", ["--variant", "std"]),
        ("jangtq2-per-expert", ["--variant", "std", "--no-prestack"]),
        ("jangtq-hash4", ["--variant", "V3"]),
    ],
)
def test_every_tensor_is_what_the_converter_of_jang_writes(
    made: Make, tiny_source: Path, tmp_path: Path, recipe: str, options: list[str]
) -> None:
    """Not only the experts: affine codes, half copies, control tensors and the sidecar too, byte for byte."""
    command = [converter(), "-m", "jang_tools.dsv4.convert_dsv4_jangtq", "--src", str(tiny_source), "--dst"]
    command += [str(tmp_path / "theirs"), "--profile", "2", "--format", "jangtq", *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    ours, theirs = stored(made(recipe)), stored(tmp_path / "theirs")
    assert sorted(ours) == sorted(theirs)
    assert {n: (a.dtype, a.shape) for n, a in ours.items()} == {n: (a.dtype, a.shape) for n, a in theirs.items()}
    assert [name for name in ours if ours[name].tobytes() != theirs[name].tobytes()] == []
    assert (made(recipe) / SIDECAR).read_bytes() == (tmp_path / "theirs" / SIDECAR).read_bytes()
