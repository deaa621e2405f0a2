"""Step 4 of the proof on small bundles in the real runtimes, and on every way a child process can end.

The runtimes are looked for in the interpreter named by DSV4RECIPE_RUNTIME_PYTHON, else in this one; tests of a loader
that is not installed there are skipped with the reason, a loader that is installed and broken fails.
"""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

import mlx.core as mx
import numpy as np
import pytest

from dsv4recipe.errors import RecipeError
from dsv4recipe.runtimes import probes
from dsv4recipe.runtimes.vmlx import gather
from dsv4recipe.verifier.runtime.child import Limits, available_loaders, probe_runtime, unavailable
from dsv4recipe.verifier.runtime.findings import runtime_findings
from dsv4recipe.verifier.runtime.probe_result import Answer, Ended, Forward, Module
from tests.verifier.mini_bundle import CONFIG, write_bundle, write_source

LOADERS = ("jang-strict", "jang", "vmlx")
ROUTED = 12  # 4 layers of 3 projections
NAMED = os.environ.get("DSV4RECIPE_RUNTIME_PYTHON")
PYTHON = Path(NAMED) if NAMED else None
WRITTEN: dict[str, dict[str, bytes]] = {}  # files of the bundles as they were made


def contents(bundle):
    """Relative name → bytes of every file."""
    return {str(path.relative_to(bundle)): path.read_bytes() for path in bundle.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """source/ and the bundles good/, spoiled/, prefixed/, mxtq/ (misaligned by one byte)."""
    root = tmp_path_factory.mktemp("runtime")
    weights = write_source(root / "source")
    write_bundle(root / "good", weights)
    write_bundle(root / "spoiled", weights, stems_only=True, wrong="model.layers.0.self_attn.wq_a")
    write_bundle(root / "prefixed", weights, prefix="model.")
    write_bundle(root / "mxtq", weights, mxtq=True, skew=1)
    WRITTEN.update({name: contents(root / name) for name in ("good", "mxtq")})
    return root


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home of the parent process that must stay empty."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        yield home


@pytest.fixture(scope="module")
def probed(folder, home):
    """probed(bundle name, loader) → result, one child for each pair; skips when the loader cannot run."""
    states = {state.name: state for state in available_loaders(PYTHON)}

    @cache
    def run(name, loader, dense=False):
        reason = f"the loader {loader} cannot run in {PYTHON or sys.executable}: {states[loader].reason}"
        if "No module named" in states[loader].reason:
            pytest.skip(reason)
        assert states[loader].ready, reason  # installed and broken is a failure, not a reason to skip
        source = folder / "source" if dense else None
        result = probe_runtime(folder / name, loader, PYTHON, source, tokens=12, logits=folder / f"{name}-{loader}.npy")
        assert result.ended is Ended.REPORTED, result.detail
        return result

    return run


def codes(result, severity="error"):
    return {finding.code for finding in runtime_findings(result) if finding.severity == severity}


def finding(result, code):
    return next(f for f in runtime_findings(result) if f.code == code)


@pytest.mark.parametrize("loader", LOADERS)
def test_good_bundle_loads_and_runs_in_every_loader(probed, folder, loader):
    result = probed("good", loader, loader == "jang")
    assert codes(result) == set()
    assert result.loaded
    assert (result.missing, result.unexpected, result.misread, result.overrides.missed) == ((), (), (), ())
    assert (result.overrides.hit, result.overrides.disk) == (ROUTED, ROUTED)
    assert dict(result.kinds) == {"affine 4-bit g32": ROUTED, "affine 8-bit g32": 39}
    assert dict(result.dtypes) == {"embedding": "float16", "hidden": "float16"}
    logits = np.load(folder / f"good-{loader}.npy")
    assert logits.dtype == np.float32
    assert logits.shape == (12, CONFIG["vocab_size"])
    assert int(logits[-1].argmax()) == result.forward.argmax
    assert result.forward.cached_max_delta < 0.05 * result.forward.std


def test_loaders_agree_on_the_same_bytes(probed, folder):
    results = [probed("good", loader, loader == "jang") for loader in LOADERS]
    strict, jang, vmlx = (np.load(folder / f"good-{loader}.npy") for loader in LOADERS)
    assert np.array_equal(strict, jang)
    assert np.abs(vmlx - jang).max() < 0.01 * results[0].forward.std


def test_logits_are_near_the_dense_source(probed):
    dense = probed("good", "jang", True).dense
    assert dense.cosine > 0.97  # 4-bit experts of uniform FP4 codes: 0.9779 measured
    assert dense.top1 > 0.75  # 10 of 12 measured


def test_home_and_bundle_are_left_alone(probed, folder, home):
    result = probed("good", "vmlx", False)
    assert (result.changed, result.touched) == ((), ())
    assert contents(folder / "good") == WRITTEN["good"]
    assert list(home.iterdir()) == []


def test_overrides_on_disk_stems_only_fail_under_the_exact_rule(probed):
    result = probed("spoiled", "jang-strict")
    exact = [m for m in result.misread if m.rule == "mlx-lm 0.31" and ".switch_mlp." in m.path]
    assert len(exact) == ROUTED
    assert (exact[0].wrapped, exact[0].packed) == ("affine 8-bit group 32", "affine 4-bit group 32")
    assert not [m for m in result.misread if m.rule == "mlx-lm 0.32" and ".switch_mlp." in m.path]


def test_a_wrong_width_is_named_and_the_strict_loader_refuses_it(probed):
    result = probed("spoiled", "jang-strict")
    inferring = [m for m in result.misread if m.rule == "mlx-lm 0.32"]
    assert [(m.path, m.wrapped) for m in inferring] == [("model.layers.0.self_attn.wq_a", "affine 4-bit group 32")]
    assert not result.loaded
    assert codes(result) == {"V205", "V210"}
    assert "model.layers.0.self_attn.wq_a.weight" in finding(result, "V205").message


def test_prefixed_names_leave_random_weights_and_say_so(probed):
    result = probed("prefixed", "jang")
    assert result.loaded, "jang loads it without a word: that is the trap"
    assert "model.layers.0.self_attn.wq_a.weight" in result.missing
    assert "model.model.layers.0.attn.wq_a.weight" in result.unexpected
    assert codes(result) >= {"V206", "V207"}
    assert "random" in finding(result, "V206").message


def test_mxtq_runs_with_the_stand_in_and_says_so(probed):
    result = probed("mxtq", "vmlx")
    assert result.loaded
    assert dict(result.kinds) == {"affine 8-bit g32": 39, "mxtq 2-bit": ROUTED}
    assert (result.missing, result.unexpected) == ((), ())
    assert result.forward.finite
    if not mx.metal.is_available():
        assert gather.REPLACED in result.replaced
        assert any(gather.REPLACED in fact for fact in result.facts)


def test_a_bundle_that_vmlx_would_rewrite_is_reported_and_kept(probed, folder):
    result = probed("mxtq", "vmlx")
    assert result.changed == ("model-00001-of-00001.safetensors",)
    assert codes(result) == {"V220"}
    assert contents(folder / "mxtq") == WRITTEN["mxtq"]


@pytest.mark.parametrize(("columns", "routes"), [(128, (1, 2)), (192, (9, 2))])
def test_stand_in_gather_equals_the_decoded_matrices(columns, routes):
    rng = np.random.default_rng(3)
    experts, out = 4, 8
    index = rng.integers(0, 4, (experts, out, columns))
    words = (index.reshape(experts, out, -1, 16) << np.arange(0, 32, 2)).sum(-1).astype(np.uint32)
    norms = rng.uniform(0.5, 2, (experts, out)).astype(np.float16)
    codebook = np.array([-0.13, -0.04, 0.04, 0.13], np.float32)
    signs = rng.choice([-1.0, 1.0], columns).astype(np.float32)
    hadamard, start = np.zeros((columns, columns)), 0
    for size in (128, 64)[: 1 + (columns == 192)]:
        block = np.array([[1.0]])
        while len(block) < size:
            block = np.block([[block, block], [block, -block]])
        hadamard[start : start + size, start : start + size] = block / size**0.5
        start += size
    dense = (codebook[index] * norms[..., None].astype(np.float64)) @ hadamard * signs
    x = rng.standard_normal((routes[0], 1, 1, columns)).astype(np.float32)
    chosen = rng.integers(0, experts, routes).astype(np.uint32)
    arrays = [mx.array(a) for a in (x, words, norms, codebook, signs, chosen)]
    got = np.array(gather.gather_tq_matmul(*arrays, bits=2, sorted_indices=True))
    want = np.einsum("ti,tkoi->tko", x[:, 0, 0], dense[chosen])
    assert got.shape == (*routes, 1, out)
    np.testing.assert_allclose(got[:, :, 0], want, rtol=0, atol=2e-5)


def interpreter(folder, text):
    """A program that stands where a Python interpreter should."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.parametrize(
    ("text", "ended", "code", "said"),
    [
        ("echo not json", Ended.UNREADABLE, "V204", "exit code 0; last output: not json"),
        ("echo '[1]'", Ended.UNREADABLE, "V204", "exit code 0"),
        ("echo '{\"protocol\": 99}'", Ended.UNREADABLE, "V204", "exit code 0"),
        ("echo no such module >&2; exit 1", Ended.UNREADABLE, "V204", "exit code 1; last output: no such module"),
        ("kill -9 $$", Ended.KILLED, "V203", "SIGKILL"),
        ("exit 137", Ended.KILLED, "V203", "SIGKILL"),
        ("kill -6 $$", Ended.KILLED, "V203", "SIGABRT"),
        ("echo loading >&2; exec sleep 60", Ended.TIMED_OUT, "V202", "after 1 s; last output: loading"),
    ],
)
def test_a_child_that_goes_wrong_is_one_clear_finding(tmp_path, text, ended, code, said):
    result = probe_runtime(tmp_path, "jang", interpreter(tmp_path, text), limits=Limits(seconds=1))
    assert result.ended is ended
    (only,) = runtime_findings(result)
    assert (only.code, only.severity) == (code, "error")
    assert said in only.message
    assert ("memory" in only.hint) == ("SIGKILL" in said)


def test_an_interpreter_that_is_not_there(tmp_path):
    result = probe_runtime(tmp_path, "jang", tmp_path / "nowhere")
    assert [f.code for f in runtime_findings(result)] == ["V200"]
    states = available_loaders(tmp_path / "nowhere")
    assert [state.name for state in states] == [*probes(), "transformers"]
    assert not any(state.ready for state in states)
    assert "No such file" in unavailable(states[0], tmp_path / "nowhere").message


def test_a_bundle_that_changes_under_the_probe_is_reported(tmp_path):
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "config.json").write_text("{}")
    result = probe_runtime(bundle, "jang", interpreter(tmp_path, f"echo more >> {bundle}/config.json; echo garbage"))
    assert result.touched == ("config.json",)
    assert {f.code for f in runtime_findings(result)} == {"V204", "V221"}


def test_unknown_loader_and_empty_prompt_are_refused(tmp_path):
    with pytest.raises(RecipeError) as unknown:
        probe_runtime(tmp_path, "jang-strickt")
    assert unknown.value.diagnostics[0].code == "V222"
    assert unknown.value.diagnostics[0].hint == 'did you mean "jang-strict"?'
    with pytest.raises(RecipeError) as empty:
        probe_runtime(tmp_path, "jang", tokens=-1)
    assert empty.value.diagnostics[0].code == "V223"


@pytest.mark.parametrize(
    ("change", "code", "severity"),
    [
        ({"forward": Forward(12, False, False, None, None)}, "V212", "error"),
        ({"forward": Forward(12, False, True, 1.0, 3, decoded_finite=False)}, "V212", "error"),
        ({"answer": Answer("45", 8, 1, True, False), "expect": "45"}, "V212", "error"),
        ({"forward": Forward(12, False, True, 1.0, 3, 4, True, 0.4, False)}, "V214", "warning"),
        ({"dtypes": (("embedding", "float16"), ("hidden", "float32"))}, "V218", "warning"),
        ({"modules": (Module("lm_head", 8, 32, "affine", "holds [8, 64]"),)}, "V208", "error"),
    ],
)
def test_each_sign_of_a_bad_run_is_a_finding(tmp_path, change, code, severity):
    result = replace(probe_runtime(tmp_path, "jang", tmp_path / "nowhere"), ended=Ended.REPORTED, **change)
    assert [(f.code, f.severity) for f in runtime_findings(result)] == [(code, severity)]
