"""What is not a source checkpoint is told in one error, whatever else is wrong with it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dsv4recipe import RecipeError, inspect, open_checkpoint, verify
from dsv4recipe.checkpoint.graph import Checkpoint

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{0:064x}\nsize 5000000000\n"
COMMITS = ("6e763230a9d263eca2023f1d4a5ce1bfe126cf48", "0123456789abcdef0123456789abcdef01234567")


def refused(place: Path) -> tuple[str, str]:
    with pytest.raises(RecipeError) as caught:
        open_checkpoint(place)
    (found,) = caught.value.diagnostics
    assert found.hint
    return found.code, found.message


@pytest.mark.parametrize("pattern", ["*.safetensors", "tokenizer.json", "*.index.json"])
def test_git_lfs_pointers(source_copy: Path, spoiled: Path, pattern: str) -> None:
    for folder in (source_copy, spoiled):
        for number, path in enumerate(sorted(folder.glob(pattern))):
            path.write_text(POINTER.format(number), encoding="utf-8")
    code, message = refused(source_copy)
    assert code == "C065"
    assert "git-lfs pointers" in message
    findings = verify(spoiled).steps[1].findings
    assert [finding.code for finding in findings] == ["C065"]


def test_a_gguf_that_is_a_pointer(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_text(POINTER.format(1), encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        inspect(tmp_path / "model.gguf")
    assert [each.code for each in caught.value.diagnostics] == ["C065"]


@pytest.mark.parametrize(
    "name", ["hf_quant_config.json", "quantize_config.json", "quant_config.json", "jang_config.json"]
)
def test_what_quantizers_leave_beside_a_model_tells_them(source_copy: Path, name: str) -> None:
    (source_copy / name).write_text("{}")
    assert refused(source_copy)[0] == "C066"


def test_a_method_inside_text_config(source_copy: Path) -> None:
    config = json.loads((source_copy / "config.json").read_text())
    config["text_config"] = {"quantization_config": {"quant_method": "NVFP4"}}
    (source_copy / "config.json").write_text(json.dumps(config))
    code, message = refused(source_copy)
    assert (code, "by NVFP4 and" in message) == ("C066", True)


@pytest.mark.parametrize(("name", "word"), [("model-Q4_K_M.gguf", "a GGUF"), ("pytorch_model.bin", "a pickle")])
def test_a_folder_with_files_of_another_kind(source_copy: Path, name: str, word: str) -> None:
    for path in (*source_copy.glob("*.safetensors"), *source_copy.glob("*.index.json")):
        path.unlink()
    (source_copy / name).write_bytes(b"GGUF")
    code, message = refused(source_copy)
    assert code == "C004"
    assert f"{name} is {word}" in message


@pytest.mark.parametrize("method", ["compressed-tensors", "awq", "gptq", "modelopt", "nvfp4", "auto-round", "exl3"])
def test_a_model_that_is_quantized_already(source_copy: Path, method: str) -> None:
    config = json.loads((source_copy / "config.json").read_text())
    (source_copy / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": method}}))
    (source_copy / "model.safetensors.index.json").unlink()
    code, message = refused(source_copy)
    assert code == "C066"
    assert "already quantized" in message


def test_a_bundle_and_a_gguf(q4q8_bundle: Path, tmp_path: Path) -> None:
    assert refused(q4q8_bundle) == (
        "C066",
        "this is an MLX bundle: it is already quantized and cannot be a source checkpoint",
    )
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    code, message = refused(tmp_path / "model.gguf")
    assert code == "C001"
    assert "is a GGUF" in message


def test_the_folder_of_the_hubs_cache(tiny_source: Path, tiny: Checkpoint, tmp_path: Path) -> None:
    cache = tmp_path / "models--deepseek-ai--DeepSeek-V4-Flash"
    shutil.copytree(tiny_source, cache / "snapshots" / COMMITS[0])
    assert open_checkpoint(cache).folder.header_digest == tiny.folder.header_digest
    assert open_checkpoint(cache / "snapshots").folder.header_digest == tiny.folder.header_digest
    (cache / "snapshots" / COMMITS[1]).mkdir()
    code, message = refused(cache)
    assert code == "C067"
    assert "holds 2 snapshots" in message


def test_a_bundle_in_the_hubs_cache(q4q8_bundle: Path, tmp_path: Path) -> None:
    cache = tmp_path / "models--me--bundle"
    shutil.copytree(q4q8_bundle, cache / "snapshots" / COMMITS[0])
    assert verify(cache).ok
    assert inspect(cache)["kind"] == "bundle"


def test_what_a_folder_lacks_is_named(spoiled: Path) -> None:
    for path in spoiled.glob("model-*.safetensors"):
        path.unlink()
    (found,) = verify(spoiled).steps[1].findings
    assert found.code == "V020"
    assert found.message == "this is not a bundle: it has no shards (model.safetensors or model-*.safetensors)"
