"""Floor 4, evaluation. Reads text as token sequences: plain files, JSONL chats, token ids as .npy.

`calibrate` reads its text here too, so that both count the same tokens and can detect overlapping texts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dsv4recipe.checkpoint.graph import Checkpoint
from dsv4recipe.errors import NotInstalledError, Problems, RecipeError, Where
from dsv4recipe.evaluation import chats
from dsv4recipe.evaluation.own_template import OwnTemplate
from dsv4recipe.units import human_size

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Ids = NDArray[np.int64]
DEFAULT = tuple(Path(__file__).parent / "texts" / name for name in ("bible.txt", "technical.txt"))
"""The texts that are measured by default; texts/README.md says where they come from."""
_LIMIT = 1 << 30
_TOKENIZER_LIMIT = 256 << 20
_GRAM, _KEPT = 24, 64


@dataclass(frozen=True)
class TokenSequence:
    """Token ids int64 [n], and for each place whether the NEXT token is scored (bool [n], False at the end). `answer`
    marks a chat that holds all its answers. `file` is the number of the file."""

    ids: Ids
    scored: NDArray[np.bool_]
    answer: bool = False
    file: int = 0


@dataclass(frozen=True)
class Text:
    """Sequences and what they are made of. `files` are (name, sha256). `left` tokens did not fill a sequence."""

    sequences: tuple[TokenSequence, ...]
    files: tuple[tuple[str, str], ...]
    length: int
    left: int = 0
    chats: str = ""
    """How chats were rendered; "" where there are none."""

    @property
    def ids(self) -> list[Ids]:
        return [sequence.ids for sequence in self.sequences]

    @property
    def tokens(self) -> int:
        return sum(len(sequence.ids) for sequence in self.sequences)

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Returns which tokens are scored, over all sequences one after the other."""
        return np.concatenate([sequence.scored for sequence in self.sequences])

    @property
    def digest(self) -> str:
        """Returns the sha256 of every token id and of what is scored."""
        found = hashlib.sha256()
        for sequence in self.sequences:
            found.update(len(sequence.ids).to_bytes(8, "little"))
            found.update(sequence.ids.astype("<i8").tobytes())
            found.update(np.packbits(sequence.scored).tobytes())
        return found.hexdigest()

    def data(self) -> dict[str, Any]:
        """Returns the data for quality.json and records."""
        return {
            "files": [{"name": name, "sha256": digest} for name, digest in self.files],
            "digest": self.digest,
            "sequences": len(self.sequences),
            "tokens": self.tokens,
            "scored": int(self.scored.sum()),
            "length": self.length,
            **({"chats": self.chats} if self.chats else {}),
        }


def read_text(paths: Sequence[Path], checkpoint: Checkpoint, length: int = 512, tokens: int | None = None) -> Text:
    """Returns the files as sequences of at most `length` tokens. If `tokens` is given, each file provides an equal
    share of it.

    *.npy holds token ids, which are cut into rows of `length`. *.jsonl holds one chat per line, whose answers are
    scored; longer chats are cut. Anything else is UTF-8 text; each sequence begins with the token that begins a
    document.

    Raises RecipeError with every problem at once: M020 (unreadable), M021 (shorter than a sequence), M022 (token ids
    beyond the vocabulary), M023 (a line that is no chat), M024 (no tokenizer), M025 (a chat that the checkpoint's
    template cannot render).
    """
    problems = Problems()
    found: list[TokenSequence] = []
    files = []
    left = 0
    reader = _Tokens(checkpoint)
    for path in paths:
        try:
            if path.stat().st_size > _LIMIT:
                problems.error("M020", f"there is more than {human_size(_LIMIT)} of text", Where(str(path)))
                continue
            content = path.read_bytes()
        except OSError as error:
            problems.error("M020", f"it cannot be read: {error.strerror}", Where(str(path)))
            continue
        files.append((path.name, hashlib.sha256(content).hexdigest()))
        try:
            if path.suffix == ".jsonl":
                more, rest = _chats(content, path, reader, length), 0
            elif path.suffix == ".npy":
                more, rest = _rows(_stored(path), path, length, checkpoint.dims.vocab, 0)
            else:
                more, rest = _rows(reader.ids(_decoded(content, path)), path, length, checkpoint.dims.vocab, 1)
        except RecipeError as error:
            problems.found += error.diagnostics
            continue
        found += [replace(sequence, file=len(files) - 1) for sequence in more]
        left += rest
    problems.raise_if_any()
    if tokens is not None:
        shares = range(len(files))
        found = [each for n in shares for each in _first([s for s in found if s.file == n], tokens // len(files))]
    return Text(tuple(found), tuple(files), length, left, reader.rendered)


def _first(sequences: list[TokenSequence], tokens: int) -> list[TokenSequence]:
    """Returns the first sequences that together hold at most `tokens` tokens, at least one."""
    total = np.cumsum([len(sequence.ids) for sequence in sequences])
    return sequences[: max(1, int(np.searchsorted(total, tokens, side="right")))]


class _Tokens:
    """The checkpoint's tokenizer, loaded on first use."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self._loaded: Tokenizer | None = None
        self._template: OwnTemplate | None = None
        self.rendered = ""

    def ids(self, text: str) -> Ids:
        """Returns token ids without any that a template would add. Special tokens in the text are recognised."""
        if self._loaded is None:
            self._loaded = self._load()
        return np.array(self._loaded.encode(text, add_special_tokens=False).ids, np.int64)

    def pieces(self, messages: Sequence[dict[str, str]]) -> list[tuple[str, bool]]:
        """Returns a chat as (text, whether it is an answer): by the checkpoint's own template, else as the release's
        encoder writes it. Raises RecipeError M001, M024, M025."""
        if self._template is None:
            self._template = OwnTemplate(self.checkpoint)
        self.rendered = "the checkpoint's own template" if self._template.text else "the format of the release"
        return self._template.pieces(messages) if self._template.text else chats.pieces(messages)

    def _load(self) -> Tokenizer:
        source = self.checkpoint.folder.source
        where = Where(f"{source.place}/tokenizer.json")
        try:
            from tokenizers import Tokenizer
        except ImportError:
            hint = "run pip install 'dsv4recipe[measure]', or pass token ids as .npy"
            raise NotInstalledError("M001", "text needs the package tokenizers", hint=hint) from None
        try:
            return Tokenizer.from_str(source.small("tokenizer.json", _TOKENIZER_LIMIT).decode("utf-8"))
        except Exception as error:  # the package raises a plain Exception
            hint = "complete the download, or pass token ids as .npy"
            raise RecipeError("M024", f"the tokenizer cannot be loaded: {error}", where, hint) from None


def _decoded(content: bytes, path: Path) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        hint = "texts must be UTF-8, chats *.jsonl, token ids *.npy"
        raise RecipeError("M020", f"byte {error.start:,} is not UTF-8", Where(str(path)), hint) from None


def _stored(path: Path) -> Ids:
    try:
        ids = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise RecipeError("M020", f"this is not a numpy array: {error}", Where(str(path))) from None
    if not np.issubdtype(ids.dtype, np.integer):
        raise RecipeError("M020", f"token ids must be integers, but this array is {ids.dtype}", Where(str(path)))
    return np.asarray(ids.ravel(), np.int64)


def _rows(ids: Ids, path: Path, length: int, vocab: int, begin: int) -> tuple[list[TokenSequence], int]:
    """Returns whole sequences of `length`. With `begin`, each starts with token 0, which begins a document."""
    where = Where(str(path))
    if len(ids) and not 0 <= ids.min() <= ids.max() < vocab:
        odd = int(ids[(ids < 0) | (ids >= vocab)][0])
        hint = "these ids were made with another model's tokenizer"
        raise RecipeError("M022", f"token {odd:,} is beyond the vocabulary of {vocab:,}", where, hint)
    width = length - begin
    count = len(ids) // width
    if not count:
        hint = f"use more text, or pass --length {max(2, len(ids) + begin)}"
        raise RecipeError("M021", f"{len(ids):,} tokens do not fill one sequence of {length:,}", where, hint)
    scored = np.ones(length, bool)
    scored[-1] = False
    first = np.zeros(begin, np.int64)
    rows = ids[: count * width].reshape(count, width)
    return [TokenSequence(np.concatenate([first, row]), scored) for row in rows], len(ids) - count * width


def _chats(content: bytes, path: Path, reader: _Tokens, length: int) -> list[TokenSequence]:
    """Returns a sequence per line, short ones first so that sequences of one length are together."""
    problems = Problems()
    found = []
    for number, line in enumerate(_decoded(content, path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            said = None
        messages: Any = said.get("messages") if isinstance(said, dict) else said
        reason = "the line is not JSON" if said is None else chats.problem(messages)
        if reason:
            problems.error("M023", reason, Where(str(path), number, 1))
            continue
        found.append(_chat(messages, reader, length))
    problems.raise_if_any()
    if not found:
        raise RecipeError("M021", "this file holds no chat", Where(str(path)))
    if not any(sequence.scored.any() for sequence in found):
        hint = f"pass a --length of more than {length}"
        raise RecipeError("M021", f"no answer begins within {length} tokens", Where(str(path)), hint)
    return sorted(found, key=lambda sequence: len(sequence.ids))


def _chat(messages: Sequence[dict[str, str]], reader: _Tokens, length: int) -> TokenSequence:
    parts = [(reader.ids(text), answer) for text, answer in reader.pieces(messages)]
    ids = np.concatenate([ids for ids, _ in parts])
    answers = np.concatenate([np.full(len(ids), answer) for ids, answer in parts])
    scored = np.append(answers[1:], False)
    whole = len(ids) <= length
    ids, scored = ids[:length], scored[:length].copy()
    scored[-1] = False
    return TokenSequence(ids, scored, answer=whole)


def fingerprint(sequences: Iterable[NDArray[Any]]) -> list[int]:
    """Returns hashes (48 bits, sorted) of some runs of 24 tokens, chosen by their content. Two texts that share a run
    of a few hundred tokens share one of these hashes, wherever the run is."""
    found: set[int] = set()
    for sequence in sequences:
        ids = np.asarray(sequence, np.uint64)
        if len(ids) < _GRAM:
            continue
        with np.errstate(over="ignore"):
            value = np.zeros(len(ids) - _GRAM + 1, np.uint64)
            for place in range(_GRAM):
                value = (value ^ ids[place : place + len(value)]) * np.uint64(0x100000001B3)
            value ^= value >> np.uint64(29)
            value *= np.uint64(0xBF58476D1CE4E5B9)
        value >>= np.uint64(16)
        found.update(value[value % _KEPT == 0].tolist())
    return sorted(found)


def overlap(one: Iterable[int], other: Iterable[int]) -> float:
    """Returns the share of the smaller fingerprint that both have; 0.0 if the texts share no longer run."""
    first, second = set(one), set(other)
    least = min(len(first), len(second))
    return len(first & second) / least if least else 0.0
