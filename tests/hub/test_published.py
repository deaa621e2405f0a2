"""A bundle that went through the hub is verified: what people edit is a warning, what tools leave is nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from huggingface_hub import snapshot_download

from dsv4recipe import verify
from dsv4recipe.bundle.open import side_differences
from dsv4recipe.cli.main import run
from tests.hub.server import Hub

REPO = "somebody/DeepSeek-V4-Flash-Q4Q8"
ATTRIBUTES = "*.safetensors filter=lfs diff=lfs merge=lfs -text\n*.gguf filter=lfs diff=lfs merge=lfs -text\n"
LEFT = (".DS_Store", "._config.json", "._model-00001-of-00001.safetensors", ".git/HEAD", ".git/hooks/update.py",
        "encoding/._encoding_dsv4.py", "__MACOSX/._config.json", "Thumbs.db")  # fmt: skip


def publish(hub: Hub, bundle: Path, folder: Path) -> None:
    """The bundle as a repository, as the hub and its author make of it."""
    shutil.copytree(bundle, folder)
    (folder / ".gitattributes").write_text(ATTRIBUTES, encoding="utf-8")
    hub.add(REPO, folder)


def test_a_published_bundle_is_verified_after_the_download(
    hub: Hub, q4q8_bundle: Path, tiny_source: Path, tmp_path: Path
) -> None:
    repository, mine = tmp_path / "repository", tmp_path / "mine"
    publish(hub, q4q8_bundle, repository)
    snapshot_download(REPO, local_dir=mine)
    assert (mine / ".cache" / "huggingface").is_dir()
    assert (mine / ".gitattributes").is_file()
    for name in LEFT:
        (mine / name).parent.mkdir(parents=True, exist_ok=True)
        (mine / name).write_bytes(b"\0\5\26\7")
    found = verify(mine, tiny_source, sample=8)
    assert found.ok
    assert [finding for step in found.steps for finding in step.findings] == []
    assert side_differences(q4q8_bundle, mine) == ()


def test_what_people_edit_is_a_warning_and_what_loaders_read_is_proven(
    hub: Hub, q4q8_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository, mine = tmp_path / "repository", tmp_path / "mine"
    publish(hub, q4q8_bundle, repository)
    with (repository / "README.md").open("a", encoding="utf-8") as card:
        card.write("\n## How I use it\n")
    (repository / "LICENSE").unlink()
    (repository / "loss.png").write_bytes(b"a picture")
    hub.add(REPO, repository)
    snapshot_download(REPO, local_dir=mine)
    found = verify(mine)
    assert found.ok
    findings = [finding for step in found.steps for finding in step.findings]
    assert [(f.code, f.severity, Path(f.where.file).name) for f in findings] == [
        ("V017", "warning", "LICENSE"),
        ("V017", "warning", "README.md"),
        ("V013", "warning", "loss.png"),
    ]
    assert run(["verify", str(mine)]) == 0
    assert capsys.readouterr().out.endswith("verified\n")
    for name, content in {"config.json": b"{}", "tokenizer.json": b"", "added_tokens.json": b"{}", "x.py": b"",
                          "encoding/encoding_dsv4.py": b"", "model-00002-of-00002.safetensors": b"",
                          "jang_config.json": b"{}"}.items():  # fmt: skip
        before = (mine / name).read_bytes() if (mine / name).exists() else None
        (mine / name).write_bytes(content)
        errors = [f for f in verify(mine).steps[0].findings if f.severity == "error"]
        assert [Path(f.where.file).name for f in errors] == [Path(name).name], name
        (mine / name).write_bytes(before) if before is not None else (mine / name).unlink()
    assert run(["verify", str(mine)]) == 0


def test_a_source_with_what_tools_leave_builds_the_same_bundle(source_copy: Path, tmp_path: Path) -> None:
    assert run(["build", "q4q8", "--source", str(source_copy), "-o", str(tmp_path / "clean")]) == 0
    for name in LEFT:
        (source_copy / name).parent.mkdir(parents=True, exist_ok=True)
        (source_copy / name).write_bytes(b"\0\5\26\7")
    assert run(["build", "q4q8", "--source", str(source_copy), "-o", str(tmp_path / "out")]) == 0
    made, wanted = (tmp_path / name / "dsv4recipe.manifest.json" for name in ("out", "clean"))
    assert made.read_bytes() == wanted.read_bytes()
