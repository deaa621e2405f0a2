"""Which runtimes prove a bundle, in which interpreters; and the runtimes that `test_runtime_probe` does not drive."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dsv4recipe import build, load_recipe, make_plan
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import RecipeError
from dsv4recipe.runtimes import probes, targets
from dsv4recipe.verifier.runtime.child import REFERENCE, Limits, probe_runtime
from dsv4recipe.verifier.runtime.choose import ALL, Asked, choose, interpreters
from dsv4recipe.verifier.runtime.findings import runtime_findings
from dsv4recipe.verifier.runtime.probe.likeness import compare
from dsv4recipe.verifier.runtime.probe.prompt import long_enough

TORCH = "DSV4RECIPE_TORCH_PYTHON"


def asked(*targets: str, model_type: str = "deepseek_v4", mxtq: bool = False) -> Asked:
    return Asked(Path("bundle"), targets, model_type, mxtq)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No variable names an interpreter, and this one has no runtime."""
    for runtime in probes().values():
        monkeypatch.delenv(runtime.variable, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    return monkeypatch


def test_every_target_of_a_runtime_is_a_target() -> None:
    known = {target.name for target in targets()}
    assert {target for runtime in probes().values() for target in runtime.targets} <= known


@pytest.mark.parametrize(
    ("case", "names"),
    [
        (asked("vmlx"), ["jang-strict", "jang", "vmlx"]),
        (asked("vmlx", mxtq=True), ["jang", "vmlx"]),
        (asked("omlx"), ["mlx-vlm", "rapid-mlx"]),
        (asked("universal"), ["jang-strict", "jang", "vmlx", "mlx-vlm", "rapid-mlx"]),
        (asked("mlx-lm-fork"), []),
        (asked("mlx-vlm", model_type="deepseek_v41"), ["mlx-vlm"]),
        (asked("mlx-lm", model_type="deepseek_v41_text"), ["mlx-lm"]),
    ],
)
def test_all_is_what_the_bundle_is_for(case: Asked, names: list[str]) -> None:
    assert [each.runtime.name for each in choose(ALL, case, {})] == names


def test_an_interpreter_is_named_by_option_then_variable_then_is_this_one(bare: pytest.MonkeyPatch) -> None:
    case = asked("mlx-vlm")
    bare.setenv("DSV4RECIPE_RAPID_MLX_PYTHON", "/variable")
    vlm, rapid = choose(ALL, case, interpreters(["mlx-vlm=/opt/a=b/python"]))
    assert (vlm.python, rapid.python) == (Path("/opt/a=b/python"), Path("/variable"))
    vlm, rapid = choose(ALL, case, interpreters(["/for/all=others", "rapid-mlx=/own"]))
    assert (vlm.python, rapid.python) == (Path("/for/all=others"), Path("/own"))
    vlm, rapid = choose(ALL, case, {})
    assert rapid.python == Path("/variable")
    assert vlm.skipped is not None
    assert (vlm.skipped.code, vlm.skipped.severity) == ("V230", "warning")
    assert "DSV4RECIPE_MLX_VLM_PYTHON" in vlm.skipped.hint
    bare.undo()
    assert choose("jang", asked("vmlx"), {"": Path("/x")})[0].python == Path("/x")


def test_what_is_asked_for_by_name_is_run_even_where_nobody_knows_it(bare: pytest.MonkeyPatch) -> None:
    (only,) = choose("mlx-vlm", asked("vmlx"), {})
    assert (only.python, only.skipped) == (Path(sys.executable), None)


def test_unknown_names_are_refused_with_the_nearest() -> None:
    for call in (lambda: choose("rapid", asked("vmlx"), {}), lambda: interpreters(["rapid=/python"])):
        with pytest.raises(RecipeError) as refused:
            call()
        assert refused.value.diagnostics[0].code == "V222"
        assert refused.value.diagnostics[0].hint == 'did you mean "rapid-mlx"?'


def test_mlx_lm_refuses_v4_and_takes_v41() -> None:
    (v4,) = choose("mlx-lm", asked("mlx-vlm"), {})
    assert v4.skipped is not None
    assert (v4.skipped.code, v4.skipped.severity) == ("V229", "error")
    assert "cannot load bundles of deepseek_v4," in v4.skipped.message
    assert choose("mlx-lm", asked("mlx-lm", model_type="deepseek_v41"), {})[0].skipped is None


def test_a_prompt_is_long_enough_for_every_part() -> None:
    config = {"sliding_window": 128, "index_topk": 512, "compress_ratios": [0, 0, 4, 128]}
    assert long_enough(config) == 512 * 4 + 8
    assert long_enough(config | {"index_topk": 8}) == 128 + 8
    assert long_enough({"text_config": config}) == 512 * 4 + 8


V41 = """
import json, sys
from pathlib import Path
import mlx.core as mx
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.models.deepseek_v41 import Model, ModelArgs
config = dict(model_type="deepseek_v41", vocab_size=128, hidden_size=128, num_hidden_layers=2, num_attention_heads=2,
    head_dim=64, q_lora_rank=64, qk_rope_head_dim=32, o_groups=2, o_lora_rank=64, moe_intermediate_size=64,
    n_routed_experts=4, num_experts_per_tok=2, sliding_window=16, compress_ratios=[0, 0], kv_source_layer_ids=[0, 1],
    index_source_layer_ids=[0, 1], index_n_heads=2, index_head_dim=64, index_topk=4)
mx.random.seed(0)
model = Model(ModelArgs.from_dict(config))
nn.quantize(model, group_size=32, bits=8)
tensors, out = dict(tree_flatten(model.parameters())), Path(sys.argv[1])
for name in ("sound", "short"):
    (out / name).mkdir()
    mx.save_safetensors(str(out / name / "model.safetensors"), tensors)
    config["quantization"] = dict(group_size=32, bits=8, mode="affine")
    (out / name / "config.json").write_text(json.dumps(config))
    if name == "sound":
        tensors["model.stray"] = tensors.pop("model.norm.weight")
"""


def test_mlx_lm_runs_its_own_v41_and_names_what_does_not_fit(tmp_path: Path) -> None:
    """A bundle that mlx-lm's own class wrote, and one with a name changed."""
    if importlib.util.find_spec("mlx_lm") is None:
        pytest.skip("mlx-lm is not installed: scripts/setup dev,runtimes installs it")
    subprocess.run([sys.executable, "-c", V41, str(tmp_path)], check=True, capture_output=True, timeout=120)
    sound = probe_runtime(tmp_path / "sound", "mlx-lm")
    assert [finding.message for finding in runtime_findings(sound)] == []
    assert sound.forward is not None
    assert (sound.forward.tokens, sound.forward.long, sound.forward.decoded) == (24, True, 4)
    short = probe_runtime(tmp_path / "short", "mlx-lm")
    assert (short.loaded, short.missing, short.unexpected) == (False, ("model.norm.weight",), ("model.stray",))
    assert {finding.code for finding in runtime_findings(short)} == {"V205", "V206", "V207"}
    assert "the loader refuses the bundle" in runtime_findings(short)[0].message + runtime_findings(short)[1].message


@pytest.fixture(scope="module")
def native(tiny: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(make_plan(load_recipe("native"), tiny), tiny, tmp_path_factory.mktemp("native") / "native")


def python_of(variable: str) -> Path:
    if variable not in os.environ:
        pytest.skip(f'{variable} is not set: eval "$(sh scripts/runtimes torch)"')
    return Path(os.environ[variable])


@pytest.fixture(scope="module")
def reference(tiny_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The logits of transformers' torch implementation on the decoded source."""
    out = tmp_path_factory.mktemp("reference") / "logits.npy"
    found = probe_runtime(tiny_source, REFERENCE, python_of(TORCH), logits=out)
    assert (found.failures, found.missing, found.unexpected, found.misshapen) == ((), (), (), ())
    assert np.load(out).shape == (136, 512)
    return out


@pytest.mark.parametrize("runtime", ["mlx-vlm", "rapid-mlx"])
def test_the_runtimes_compute_what_the_torch_implementation_computes(
    native: Path, tiny_source: Path, reference: Path, runtime: str
) -> None:
    """transformers' own code on the decoded source, against the runtime's class on it, and against the exact bundle."""
    python = python_of(probes()[runtime].variable)
    seen = probe_runtime(native, runtime, python, dense=tiny_source, reference=reference)
    assert runtime_findings(seen) == ()
    assert seen.implementation is not None
    assert seen.reference is not None
    assert seen.implementation.top1 == 1
    assert seen.implementation.cosine > 0.99999  # one block of equal score is chosen otherwise: 0.9999939 measured
    assert seen.implementation.kl < 1e-5
    assert seen.reference.cosine > 0.99  # bfloat16 arithmetic on the source's own numbers: 0.9973 measured


def test_likeness_is_of_distributions_and_first_choices() -> None:
    """Two positions, three tokens; figures by hand."""
    one, two = np.array([[0.0, 0, np.log(2)], [1, 2, 3]]), np.array([[0.0, np.log(2), 0], [1, 2, 3]])
    found = compare(one, two)
    assert (found["positions"], found["top1"]) == (2, 0.5)
    assert found["cosine"] == pytest.approx(0.5)  # orthogonal, and equal
    assert found["worst_cosine"] == 0
    assert found["nine_in_ten"] == pytest.approx(0.1)  # interpolated between the two
    assert found["kl"] == pytest.approx(np.log(2) / 4 / 2)  # KL of (1, 2, 1)/4 from (1, 1, 2)/4 is log(2)/4
    assert compare(one + 7, one)["kl"] == pytest.approx(0, abs=1e-12)  # a shift changes no distribution
    with pytest.raises(ValueError, match="shape"):
        compare(one, two[:1])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the address space is limited on Linux only")
def test_a_memory_limit_ends_a_runtime_that_reaches_it(native: Path) -> None:
    result = probe_runtime(native, "rapid-mlx", python_of("DSV4RECIPE_RAPID_MLX_PYTHON"), limits=Limits(memory=10**8))
    assert not result.loaded
    assert {finding.code for finding in runtime_findings(result)} <= {"V203", "V204", "V232"}
    assert "100,000,000 B" in "".join(finding.message + finding.hint for finding in runtime_findings(result))
