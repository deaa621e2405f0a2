"""The command line as a user types it: exit codes, one JSON document, clear refusals, nothing half-written."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dsv4recipe.cli.main import COMMANDS
from tests.calling import Captured, call
from tests.recipes import SOUND, changed, with_first_rule


def test_the_whole_path(capsys: Captured, tmp_path: Path) -> None:
    source, bundle, plan = tmp_path / "source", tmp_path / "bundle", tmp_path / "plan.json"
    assert call(capsys, "synth", source)[0] == 0
    code, out, _ = call(capsys, "inspect", source, "--json")
    assert (code, json.loads(out)["kind"], json.loads(out)["tensors"]) == (0, "checkpoint", 416)
    code, out, _ = call(capsys, "plan", "q4q8", "--source", source, "-o", plan)
    assert code == 0
    assert "6,517,360 B" in out
    code, out, err = call(capsys, "build", plan, "--source", source, "-o", bundle, "--json")
    events = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert err == ""
    assert [e["event"] for e in events if e["event"] != "compiling"] == [
        "plan_loaded",
        "shard_started",
        "shard_done",
        "done",
    ]
    code, out, _ = call(capsys, "verify", bundle, "--json")
    assert (code, json.loads(out)["ok"], [s["name"] for s in json.loads(out)["steps"]]) == (
        0,
        True,
        ["integrity", "contract"],
    )
    code, out, _ = call(capsys, "inspect", bundle, "--json")
    assert (code, json.loads(out)["kind"], json.loads(out)["bytes"]) == (0, "bundle", 6_517_360)
    code, out, _ = call(capsys, "diff", plan, bundle, "--exit-code")
    assert (code, out) == (0, "no differences (148 modules)\n")


def test_a_difference_is_exit_code_2_only_when_asked_for(capsys: Captured, tiny_source: Path) -> None:
    arguments = ("diff", "q4q8", "q4q8-per-expert", "--source", tiny_source)
    assert call(capsys, *arguments)[0] == 0
    code, out, _ = call(capsys, *arguments, "--exit-code", "--json")
    data = json.loads(out)
    assert (code, data["bytes_delta"], data["same"]) == (2, 0, 136)
    assert {change["pattern"] for change in data["changed"]} == {
        f"model.layers.{{0-3}}.mlp.switch_mlp.{name}_proj" for name in ("gate", "up", "down")
    }


def test_a_spoiled_bundle_is_exit_code_3(capsys: Captured, spoiled: Path) -> None:
    config = json.loads((spoiled / "config.json").read_text())
    entry = {"bits": 4, "group_size": 32, "mode": "affine"}
    config["quantization"]["layers.1.ffn.experts.3.w1"] = entry
    config["quantization_config"]["layers.1.ffn.experts.3.w1"] = entry
    (spoiled / "config.json").write_text(json.dumps(config))
    code, out, _ = call(capsys, "verify", spoiled)
    assert code == 3
    assert "override 'layers.1.ffn.experts.3.w1' names no quantized module" in out


def remove(name: str) -> Callable[[Path], None]:
    return lambda source: (source / name).unlink()


def truncate(source: Path) -> None:
    path = source / "model-00003-of-00007.safetensors"
    os.truncate(path, path.stat().st_size - 1)


def escape(source: Path) -> None:
    path = source / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"]["norm.weight"] = "../model-00006-of-00007.safetensors"
    path.write_text(json.dumps(index))


NOTHING_MATCHES = '  - id: idle\n    match: {tensor: "layers.9.*"}\n    keep: source\n'

BAD_RECIPES = {
    "unknown key": (changed("    keep: source", "    keeep: source"), 'did you mean "keep"?'),
    "bits of 7": (changed("bits: 8", "bits: 7"), "2, 3, 4, 5, 6"),
    "idle rule": (with_first_rule(NOTHING_MATCHES), "rule 'idle' matches no tensor"),
    "unclaimed": (changed(", lm-head", ""), "1 tensor is claimed by no rule (role lm-head)"),
}
BAD_SOURCES = {
    "missing shard": (remove("model-00003-of-00007.safetensors"), "model-00003-of-00007.safetensors"),
    "truncated shard": (truncate, "model-00003-of-00007.safetensors"),
    "escaping index": (escape, "../model-00006-of-00007.safetensors"),
    "no config": (remove("config.json"), "config.json"),
    "no encoding": (remove("encoding/encoding_dsv4.py"), "encoding/encoding_dsv4.py"),
    "no tokenizer": (remove("tokenizer.json"), "tokenizer.json"),
}


@pytest.mark.parametrize("name", BAD_RECIPES)
def test_a_bad_recipe_is_refused(capsys: Captured, tiny_source: Path, tmp_path: Path, name: str) -> None:
    text, words = BAD_RECIPES[name]
    recipe = tmp_path / "bad.yaml"
    recipe.write_text(text)
    code, out, err = call(capsys, "build", recipe, "--source", tiny_source, "-o", tmp_path / "out", "--json")
    assert code == 1
    assert words in err
    assert f"{recipe}:" in err
    assert json.loads(out)["errors"]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", BAD_SOURCES)
def test_a_bad_source_is_refused(capsys: Captured, source_copy: Path, tmp_path: Path, name: str) -> None:
    spoil, words = BAD_SOURCES[name]
    spoil(source_copy)
    code, out, err = call(capsys, "build", "q4q8", "--source", source_copy, "-o", tmp_path / "out", "--json")
    assert code == 1
    assert words in err
    assert "internal error" not in err
    assert json.loads(out)["errors"]
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_disk_that_fills_up(capsys: Captured, tiny_source: Path, tmp_path: Path) -> None:
    """A real file system of 4 MB; the check of free space is passed by, so the write itself runs out."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small], check=False).returncode:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        code, _, err = call(capsys, "build", "q4q8", "--source", tiny_source, "-o", small / "out")
        assert code == 1
        assert "error[B004]" in err
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("dsv4recipe.builder.run.check_room", lambda *arguments: None)
            code, _, err = call(capsys, "build", "q4q8", "--source", tiny_source, "-o", small / "out")
        assert code == 1
        assert "error[B010]: the disk is full" in err
        assert not (small / "out").exists()
        assert not list((small / "out.partial").glob("*model*"))
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.parametrize("arguments", [["plam"], ["plan"], ["build", "q4q8"], ["build", "--workers", "no"], ["--nope"]])
def test_wrong_usage_is_exit_code_64(capsys: Captured, arguments: Sequence[str]) -> None:
    code, out, err = call(capsys, *arguments)
    assert (code, out) == (64, "")
    assert err.startswith("error[U001]")


def test_a_source_file_with_other_bytes_than_its_sum_is_refused(
    capsys: Captured, source_copy: Path, tmp_path: Path
) -> None:
    sums, out = tmp_path / "SUMS", tmp_path / "out"
    shards = sorted(source_copy.glob("*.safetensors"))
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in shards]
    arguments = ("build", "q4q8", "--source", source_copy, "-o", out, "--source-sums", sums)
    sums.write_text("\n".join([*lines[1:], "nonsense", lines[0].replace("00001-of", "00009-of")]) + "\n")
    code, _, err = call(capsys, *arguments)
    assert (code, err.count("error[U014]")) == (1, 2)
    assert "the source has no shard model-00009-of-00007.safetensors" in err
    sums.write_text("\n".join(lines) + "\n")
    data = bytearray(shards[2].read_bytes())
    data[-1] ^= 1
    shards[2].write_bytes(data)
    code, _, err = call(capsys, *arguments)
    assert code == 1
    assert f"error[B006]: {shards[2].name} is not the file" in err
    assert not out.exists()
    data[-1] ^= 1
    shards[2].write_bytes(data)
    assert call(capsys, *arguments)[0] == 0


def test_a_misspelt_command_is_recognised(capsys: Captured) -> None:
    assert 'did you mean "verify"?' in call(capsys, "verfy", "x")[2]
    assert "dsv4recipe plan --help" in call(capsys, "plan")[2]


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_of_every_command(capsys: Captured, name: str) -> None:
    code, out, _ = call(capsys, *name.split(), "--help")
    assert code == 0
    assert "Usage: dsv4recipe" in out


def test_check_show_recipes_schema_and_init(capsys: Captured, tmp_path: Path) -> None:
    code, out, _ = call(capsys, "recipes", "--json")
    assert code == 0
    assert {"q4q8", "q4q8-per-expert"} <= {row["name"] for row in json.loads(out)["recipes"]}
    assert "match:" in call(capsys, "recipes", "show", "q4q8")[1]
    assert json.loads(call(capsys, "show", "q4q8-per-expert", "--json")[1])["target"]["experts"] == "per-expert"
    assert json.loads(call(capsys, "schema", "recipe")[1])["$schema"].startswith("http://json-schema.org/draft-07")
    new = tmp_path / "mine.yaml"
    assert call(capsys, "init", new)[0] == 0
    assert call(capsys, "check", new, "--json")[0] == 0
    code, _, err = call(capsys, "init", new)
    assert (code, "the file exists" in err) == (1, True)


def test_the_demo_proves_its_bundle(capsys: Captured, tmp_path: Path) -> None:
    code, out, _ = call(capsys, "demo", tmp_path / "demo")
    assert code == 0
    assert "verified" in out
    assert "Look at:" in out
    assert (tmp_path / "demo" / "q4q8" / "config.json").is_file()
    assert call(capsys, "demo", tmp_path / "demo", "--json")[0] == 0


def test_an_interrupted_build_is_exit_code_130(tiny_source: Path, tmp_path: Path) -> None:
    """SIGINT to the real program while it builds; the same command then completes."""
    recipe = tmp_path / "many.yaml"
    recipe.write_text(SOUND.replace("5GiB", "20KB"))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "dsv4recipe", "build", recipe, "--source", tiny_source, "-o", out, "--json"]
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if json.loads(line)["event"] == "shard_done":
                child.send_signal(2)
                break
        _, err = child.communicate(timeout=60)
    assert child.returncode == 130, err
    assert "run the same command again" in err
    assert not out.exists()
    again = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    events = [json.loads(line)["event"] for line in again.stdout.splitlines()]
    assert "resumed" in events
    assert events[-1] == "done"
