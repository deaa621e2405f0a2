"""Text as token sequences: what is scored, what is refused, and whether two texts overlap."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsv4recipe import open_checkpoint
from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import RecipeError
from dsv4recipe.evaluation.text import DEFAULT, fingerprint, overlap, read_text
from dsv4recipe.runtimes.common.chat_template import Wording, template
from tests.measuring import YARDSTICK


@pytest.fixture(scope="module")
def yardstick() -> Checkpoint:
    return open_checkpoint(YARDSTICK / "checkpoint")


def chat(question: str, answer: str) -> str:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": turns}) + "\n"


def codes(paths: list[Path], checkpoint: Checkpoint, **more: Any) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        read_text(paths, checkpoint, **more)
    return sorted(found.code for found in caught.value.diagnostics)


def test_plain_text_is_cut_into_whole_sequences_that_begin_a_document(yardstick: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("In the beginning God created the heaven and the earth. " * 20)
    text = read_text([path], yardstick, 32)
    assert all(len(sequence.ids) == 32 and sequence.ids[0] == 0 for sequence in text.sequences)
    assert text.scored.sum() == 31 * len(text.sequences)
    assert text.tokens - len(text.sequences) + text.left == len(read_text([path], yardstick, 2).sequences)
    assert read_text([path], yardstick, 32, tokens=70).tokens == 64


def test_of_a_chat_the_answers_are_scored_and_rendered_as_the_model_was_trained(
    yardstick: Checkpoint, tmp_path: Path
) -> None:
    path = tmp_path / "sums.jsonl"
    path.write_text(chat("What is 17+28?", "45") + chat("What is 1+1?", "2"))
    text = read_text([path], yardstick)
    short, long = text.sequences
    assert len(short.ids) < len(long.ids)
    stored = yardstick.folder.source.small("tokenizer.json", 1 << 20).decode()
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(stored)
    assert (
        tokenizer.decode(long.ids.tolist(), skip_special_tokens=False).replace(" ", "")
        == "<｜begin▁of▁sentence｜><｜User｜>Whatis17+28?<｜Assistant｜></think>45<｜end▁of▁sentence｜>"
    )
    assert tokenizer.decode(long.ids[1:][long.scored[:-1]].tolist(), skip_special_tokens=False).startswith("45")
    assert long.answer
    assert not read_text([path], yardstick, len(long.ids) - 1).sequences[1].answer


def test_every_problem_is_named_at_once(yardstick: Checkpoint, tmp_path: Path) -> None:
    np.save(tmp_path / "other.npy", np.array([5, 1024, 7]))
    np.save(tmp_path / "floats.npy", np.ones(9))
    (tmp_path / "short.txt").write_text("short")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "odd.jsonl").write_text('{"messages": []}\n[1\n' + json.dumps([{"role": "judge", "content": ""}]))
    (tmp_path / "empty.jsonl").write_text("\n")
    names = ("other.npy", "floats.npy", "short.txt", "latin.txt", "odd.jsonl", "empty.jsonl", "missing.txt")
    found = codes([tmp_path / name for name in names], yardstick)
    assert found == ["M020", "M020", "M020", "M021", "M021", "M022", "M023", "M023", "M023"]


def test_a_checkpoint_without_a_tokenizer_takes_token_ids_alone(
    yardstick: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("In the beginning")
    ids = tmp_path / "ids.npy"
    np.save(ids, np.arange(9))

    def missing(name: str, limit: int) -> bytes:
        raise FileNotFoundError(f"{name} within {limit:,} bytes")

    monkeypatch.setattr(type(yardstick.folder.source), "small", lambda _self, name, limit: missing(name, limit))
    assert codes([text], yardstick, length=4) == ["M024"]
    assert read_text([ids], yardstick, 4).left == 1


def test_the_text_of_the_package_was_not_trained_on(yardstick: Checkpoint) -> None:
    shipped = fingerprint(read_text(DEFAULT, yardstick, 256).ids)
    calib = fingerprint([np.load(YARDSTICK / "calib.npy")])
    assert overlap(shipped, calib) == 0
    assert overlap(shipped, fingerprint([np.load(YARDSTICK / "dev.npy")])) > 0.3


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2000), st.integers(0, 500), st.integers(0, 2**32 - 1))
def test_a_common_run_shows_wherever_it_stands(before: int, after: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    common = draw.integers(0, 1000, 1500)
    one = np.concatenate([draw.integers(0, 1000, before), common])
    other = np.concatenate([common, draw.integers(0, 1000, after)])
    assert overlap(fingerprint([one]), fingerprint([other])) > 0.1
    assert overlap(fingerprint([common]), fingerprint([draw.integers(0, 1000, 1500)])) == 0


def test_the_digest_names_tokens_and_what_is_scored(yardstick: Checkpoint, tmp_path: Path) -> None:
    ids = np.arange(64)
    np.save(tmp_path / "a.npy", ids)
    np.save(tmp_path / "b.npy", ids.astype(np.uint16))
    one, other = (read_text([tmp_path / name], yardstick, 32) for name in ("a.npy", "b.npy"))
    assert one.digest == other.digest
    assert one.digest != read_text([tmp_path / "a.npy"], yardstick, 16).digest


def with_template(yardstick: Checkpoint, folder: Path, template: str) -> Checkpoint:
    """The yardstick with a chat template of its own."""
    shutil.copytree(yardstick.folder.place, folder, dirs_exist_ok=True)
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return open_checkpoint(folder)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


def test_the_template_of_the_checkpoint_renders_its_chats(yardstick: Checkpoint, tmp_path: Path, own: Path) -> None:
    """The template that bundles are given writes what the release's encoder does; another one writes its own."""
    path = tmp_path / "sums.jsonl"
    path.write_text(chat("What is 17+28?", "45") + chat("What is 1+1?", "2"))
    plain = read_text([path], yardstick)
    made = read_text([path], with_template(yardstick, own, template(Wording())))
    assert made.digest == plain.digest
    assert plain.data()["chats"] == "the format of the release"
    assert made.data()["chats"] == "the checkpoint's own template"


def test_another_template_is_followed_and_its_answers_are_scored(
    yardstick: Checkpoint, tmp_path: Path, own: Path
) -> None:
    path = tmp_path / "sums.jsonl"
    turns = [("user", "one"), ("assistant", "two"), ("user", "three"), ("assistant", "four")]
    path.write_text(json.dumps([{"role": role, "content": text} for role, text in turns]))
    words = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}{% endfor %}"
    checkpoint = with_template(yardstick, own, words + "{% if add_generation_prompt %}[assistant] {% endif %}")
    (sequence,) = read_text([path], checkpoint).sequences
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(yardstick.folder.source.small("tokenizer.json", 1 << 20).decode())
    end = "<｜end▁of▁sentence｜>"
    scored = tokenizer.decode(sequence.ids[1:][sequence.scored[:-1]].tolist(), skip_special_tokens=False)
    whole = tokenizer.decode(sequence.ids.tolist(), skip_special_tokens=False)
    assert scored.replace(" ", "") == f"two{end}four{end}"
    assert whole.replace(" ", "") == f"[user]one{end}[assistant]two{end}[user]three{end}[assistant]four{end}"


@pytest.mark.parametrize(
    "words",
    [
        "{{ raise_exception('no') }}",
        "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}go{% endif %}",
        "{{ ''.__class__.__mro__ }}",
        "{% broken",
    ],
)
def test_a_template_that_cannot_be_followed_is_refused(
    words: str, yardstick: Checkpoint, tmp_path: Path, own: Path
) -> None:
    path = tmp_path / "sums.jsonl"
    path.write_text(chat("What is 17+28?", "45"))
    assert codes([path], with_template(yardstick, own, words)) == ["M025"]
