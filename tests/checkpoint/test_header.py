"""The header reader: what it takes, what it refuses with which sentence, and that safetensors takes all it takes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from dsv4recipe.errors import RecipeError
from dsv4recipe.headers.safetensors import MAX_TENSORS, header_bytes, parse_header, read_header


def framed(header: bytes | str, data: int = 0) -> bytes:
    """A file with this header text and `data` zero bytes."""
    body = header if isinstance(header, bytes) else header.encode()
    return len(body).to_bytes(8, "little") + body + bytes(data)


def one(**changes: Any) -> str:
    """The header of one good F32 [2, 2] tensor "w", changed."""
    return json.dumps({"w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]} | changes})


def refusal(raw: bytes, size: int | None = None) -> tuple[str, str, str]:
    with pytest.raises(RecipeError) as caught:
        parse_header(raw, len(raw) if size is None else size, "model.safetensors")
    (found,) = caught.value.diagnostics
    assert found.where.file == "model.safetensors"
    return found.code, found.message, found.where.subject


def test_reads_what_safetensors_writes(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    tensors = {"b": np.zeros((2, 3), np.float32), "слой.a": np.ones(5, np.int8), "empty": np.zeros((0, 4), np.float16)}
    safetensors.numpy.save_file(tensors, path, {"format": "pt", "note": 'a "}" in it'})
    header = read_header(path)
    raw = path.read_bytes()
    length = 8 + int.from_bytes(raw[:8], "little")
    assert (header.file, header.size, header.data_start) == ("m.safetensors", len(raw), length)
    assert header.digest == hashlib.sha256(raw[:length]).hexdigest()
    assert dict(header.metadata) == {"format": "pt", "note": 'a "}" in it'}
    assert {t.name: (t.dtype, t.shape, t.nbytes) for t in header.tensors} == {
        "b": ("F32", (2, 3), 24),
        "слой.a": ("I8", (5,), 5),
        "empty": ("F16", (0, 4), 0),
    }
    for entry in header.tensors:
        assert raw[entry.start : entry.end] == tensors[entry.name].tobytes()


def test_tensors_come_in_offset_order_whatever_the_order_of_names_and_keys() -> None:
    text = """ { "late" : {"data_offsets":[4, 8],"shape":[ 1 ],"dtype":"F32"} ,
        "\\u0065arly":{ "shape":[],"dtype":"F32","data_offsets":[0,4]}} """.strip()
    header = parse_header(framed(text, 8), len(framed(text, 8)), "f")
    assert [(t.name, t.shape, t.start - header.data_start) for t in header.tensors] == [
        ("early", (), 0),
        ("late", (1,), 4),
    ]


def test_an_empty_header_is_a_file_without_tensors() -> None:
    assert parse_header(framed("{}  "), 12, "f").tensors == ()


def test_header_bytes_are_what_the_reader_reads_back() -> None:
    entries = [("z", "F8_E8M0", (3, 1)), ("a.weight", "I8", (5,)), ("größe", "I64", ())]
    raw = header_bytes(entries, [("format", "mlx")])
    assert len(raw) % 8 == 0
    first = b'{"__metadata__":{"format":"mlx"},"z":{"dtype":"F8_E8M0","shape":[3,1],"data_offsets":[0,3]},'
    assert raw[8:].startswith(first)
    header = parse_header(raw, len(raw) + 16, "f")
    assert [(t.name, t.dtype, t.shape) for t in header.tensors] == entries
    assert header.metadata == (("format", "mlx"),)
    assert header.tensors[-1].end == len(raw) + 16


THREATS: dict[str, tuple[bytes, str, str, str]] = {
    # name: (file, code, message, tensor)
    "no file": (b"\x08\x00", "C040", "2 bytes are too few for a safetensors file", ""),
    "length 2^60": (
        (1 << 60).to_bytes(8, "little") + b"{}",
        "C041",
        "the header would be 1,152,921,504,606,846,976 bytes long; more than 20,000,000 are refused",
        "",
    ),
    "cut header": (
        framed(one())[:30],
        "C040",
        "the file ends inside its header: 73 bytes are needed, but it has 30",
        "",
    ),
    "not UTF-8": (framed(b'{"\xff":1}'), "C042", "the header is not UTF-8: byte 2", ""),
    "BOM": (framed("\ufeff{}"), "C042", "the header does not start with {", ""),
    "leading space": (framed(" {}"), "C042", "the header does not start with {", ""),
    "a name of 5,000": (
        framed('{"' + "w" * 5000 + '":1}'),
        "C042",
        "the name at character 1 is not closed within 4,096 characters",
        "",
    ),
    "not closed": (framed('{"w":'), "C042", "the description is not closed within 4,096 characters", "w"),
    "no colon": (framed('{"w" 1}'), "C042", "the header is not JSON: a colon is expected at character 4", "w"),
    "no name": (framed("{1:2}"), "C042", "the header is not JSON: a name is expected at character 1", ""),
    "no comma": (
        framed(one()[:-1] + '"x":1}', 16),
        "C042",
        "the header is not JSON: a comma or } is expected at character 64",
        "w",
    ),
    "trailing comma": (
        framed(one()[:-1] + ",}", 16),
        "C042",
        "the header is not JSON: a name is expected at character 65",
        "",
    ),
    "second object": (framed(one() + "{}", 16), "C042", "the header continues after its closing } at character 65", ""),
    "NaN": (framed(one(data_offsets=[0, float("nan")]), 16), "C042", "NaN is not JSON", "w"),
    "1e999": (framed(one().replace("16", "1e999"), 16), "C042", "1e999 is not a whole number", "w"),
    "float offsets": (framed(one(data_offsets=[0.0, 16.0]), 16), "C042", "0.0 is not a whole number", "w"),
    "boolean offsets": (
        framed(one(data_offsets=[False, 16]), 16),
        "C045",
        "data_offsets must be two whole numbers",
        "w",
    ),
    "boolean shape": (framed(one(shape=[True, 4]), 16), "C045", "the shape must be a list of whole numbers", "w"),
    "three offsets": (framed(one(data_offsets=[0, 8, 16]), 16), "C045", "data_offsets must be two whole numbers", "w"),
    "negative offset": (framed(one(data_offsets=[-16, 0]), 16), "C042", "the description holds a negative number", "w"),
    "minus zero": (framed(one().replace("[0", "[-0"), 16), "C042", "the description holds a negative number", "w"),
    "a number of 3,000 digits": (
        framed(one().replace("16", "1" + "6" * 3000), 16),
        "C045",
        "F32 [2, 2] needs 16 bytes, but data_offsets [0, 1666",
        "w",
    ),
    "depth 1,000": (framed('{"w":' + "[" * 1000 + "}"), "C042", "the header is nested too deeply", "w"),
    "duplicate tensor": (framed(one()[:-1] + "," + one()[1:], 16), "C042", "the name appears twice in the header", "w"),
    "duplicate tensor by escape": (
        framed(one()[:-1] + "," + one()[1:].replace('"w"', '"\\u0077"'), 16),
        "C042",
        "the name appears twice in the header",
        "w",
    ),
    "duplicate key": (
        framed(one().replace('"shape"', '"dtype": "F32", "shape"'), 16),
        "C042",
        "the key 'dtype' appears twice in one object",
        "w",
    ),
    "unknown key": (
        framed(one(strides=[1]), 16),
        "C045",
        "the description must hold only dtype, shape and data_offsets",
        "w",
    ),
    "not an object": (
        framed('{"w":[1]}'),
        "C045",
        "the description must hold only dtype, shape and data_offsets",
        "w",
    ),
    "unknown dtype": (framed(one(dtype="F4"), 16), "C044", "the dtype 'F4' is unknown", "w"),
    "shape overflow": (framed(one(shape=[1 << 40, 1 << 40]), 16), "C045", "the shape is impossibly large", "w"),
    "overflow beside a zero": (
        framed(one(shape=[1 << 40, 1 << 40, 0], data_offsets=[0, 0])),
        "C045",
        "the shape is impossibly large",
        "w",
    ),
    "shape and bytes differ": (
        framed(one(shape=[2, 3]), 16),
        "C045",
        "F32 [2, 3] needs 24 bytes, but data_offsets [0, 16] hold 16",
        "w",
    ),
    "gap at the start": (
        framed(one(data_offsets=[8, 24]), 24),
        "C046",
        "the tensor leaves a gap before it at byte 73",
        "w",
    ),
    "overlap": (
        framed(one()[:-1] + "," + one(data_offsets=[8, 24])[1:].replace('"w"', '"v"'), 24),
        "C046",
        "the tensor overlaps the tensor before it at byte 145",
        "v",
    ),
    "truncated data": (
        framed(one(), 15),
        "C047",
        "the file is truncated: its header promises 89 bytes, but it has 88",
        "",
    ),
    "appended data": (framed(one(), 17), "C047", "the file continues for 1 B after the last tensor", ""),
    "no name at all": (framed(one().replace('"w"', '""'), 16), "C043", "the name is empty", ""),
    "long name": (
        framed(one().replace('"w"', f'"{"w" * 513}"'), 16),
        "C043",
        "the name is longer than 512 characters",
        "w" * 512,
    ),
    "NUL in a name": (
        framed(one().replace('"w"', '"a\\u0000"'), 16),
        "C043",
        "the name holds a character that cannot be printed",
        r"'a\x00'",
    ),
    "raw NUL in a name": (
        framed(one().replace('"w"', '"a\x00"'), 16),
        "C042",
        "the header is not JSON near character 1: Invalid control character at",
        "",
    ),
    "half a surrogate": (
        framed(one().replace('"w"', '"\\ud800"'), 16),
        "C043",
        "the name holds a character that cannot be printed",
        r"'\ud800'",
    ),
    "a path for a name": (
        framed(one().replace('"w"', '"../../etc/x"'), 16),
        "C043",
        'the name holds "..", a backslash or a leading "/", as a path would',
        "../../etc/x",
    ),
    "metadata of numbers": (
        framed('{"__metadata__":{"a":1}}'),
        "C048",
        "__metadata__ must map text to text",
        "__metadata__",
    ),
    "metadata null": (framed('{"__metadata__":null}'), "C048", "__metadata__ must map text to text", "__metadata__"),
    "metadata shaped like a tensor": (
        framed('{"__metadata__":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4),
        "C048",
        "__metadata__ must map text to text",
        "__metadata__",
    ),
    "metadata twice": (
        framed('{"__metadata__":{},"__metadata__":{}}'),
        "C042",
        "the name appears twice in the header",
        "__metadata__",
    ),
}


@pytest.mark.parametrize("threat", THREATS)
def test_each_threat_has_its_sentence(threat: str) -> None:
    raw, code, message, tensor = THREATS[threat]
    found = refusal(raw)
    assert found[0] == code
    assert found[1].startswith(message)
    assert found[2] == tensor


def test_a_pipe_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.safetensors")
    with pytest.raises(RecipeError, match="it is not a regular file") as caught:
        read_header(tmp_path / "m.safetensors")
    assert caught.value.diagnostics[0].code == "C040"


def bombs() -> Iterator[tuple[str, bytes, int, str]]:
    """(name, first bytes, length of the file, code): each as large as the reader will look at."""
    full = 19_999_900
    yield "100 MB of JSON", (100_000_000).to_bytes(8, "little") + b"{", 100_000_008, "C041"
    entries = ",".join(
        f'"{n}":{{"dtype":"U8","shape":[],"data_offsets":[{n},{n + 1}]}}' for n in range(MAX_TENSORS + 1)
    )
    yield "tensors without end", framed("{" + entries + "}", MAX_TENSORS + 1), 0, "C041"
    sparse = ",".join(f'"{n}" :{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}' for n in range(MAX_TENSORS))
    yield "as many tensors as allowed, the slow writing, a gap", framed("{" + sparse + "}", 1), 0, "C047"
    yield "depth", framed('{"w":' + "[" * full), 0, "C042"
    yield "lists of lists", framed('{"w":[' + "[]," * (full // 3) + "0]}"), 0, "C042"
    keys = ",".join(f'"{n}":""' for n in range(1_500_000))
    yield "keys", framed('{"w":{' + keys + "}}"), 0, "C042"
    yield "metadata of lists", framed('{"__metadata__":{"a":[' + "[]," * (full // 3) + "0]}}"), 0, "C042"
    yield "metadata of keys", framed('{"__metadata__":{' + keys + "}}"), 0, "C042"
    yield "one long name", framed('{"' + "w" * full + '":1}'), 0, "C042"
    yield "one long name with a wide character", framed('{"\U0001f600' + "w" * (full - 8) + '":1}'), 0, "C042"
    yield "one long string", framed('{"w":"' + "w" * full + '"}'), 0, "C042"
    yield "blanks", framed("{" + " " * full + "1"), 0, "C042"
    yield "minus signs", framed('{"w":{' + "-" * full + "}}"), 0, "C042"


CHILD = """
import sys, time
from pathlib import Path
from dsv4recipe.headers.safetensors import read_header
from dsv4recipe.errors import RecipeError
for path in sys.argv[1:]:
    start = time.process_time()
    try:
        read_header(Path(path))
        code = "accepted"
    except RecipeError as error:
        code = error.diagnostics[0].code
        assert len(str(error)) < 2000, len(str(error))
    print(code, time.process_time() - start)
try:
    peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024
except OSError:
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(peak)
"""


def test_bombs_are_refused_in_a_second_and_200_megabytes(tmp_path: Path) -> None:
    wanted, paths = [], []
    for number, (name, raw, length, code) in enumerate(bombs()):
        paths.append(tmp_path / f"{number}.safetensors")
        with paths[-1].open("wb") as stream:
            stream.write(raw)
            stream.truncate(length or len(raw))
        wanted.append((name, code))
    run = subprocess.run([sys.executable, "-c", CHILD, *map(str, paths)], capture_output=True, text=True, check=True)
    *lines, peak = run.stdout.split("\n")[:-1]
    seconds = {name: float(line.split()[1]) for (name, _), line in zip(wanted, lines, strict=True)}
    assert [(name, line.split()[0]) for (name, _), line in zip(wanted, lines, strict=True)] == wanted
    # Processor time, so that a busy machine does not count, in units of a fixed loop, so that a slow one does not:
    # six of them are about a second on a machine of 2024.
    start = time.process_time()
    sum(range(10_000_000))
    assert max(seconds.values()) < 6 * (time.process_time() - start), seconds
    assert int(peak) < 200_000_000


VALUES = st.one_of(
    st.integers(-2, 40), st.just(1 << 63), st.just(1 << 64), st.floats(), st.booleans(), st.none(), st.text(max_size=3)
)
DESCRIPTIONS = st.fixed_dictionaries(
    {
        "dtype": st.one_of(st.sampled_from(["F32", "U8", "F16", "I64", "F8_E8M0", "F4", "BOOL", "x"]), VALUES),
        "shape": st.one_of(st.lists(st.one_of(st.integers(0, 3), VALUES), max_size=3), VALUES),
        "data_offsets": st.one_of(st.lists(st.integers(0, 24), min_size=2, max_size=2), VALUES),
    },
    optional={"more": VALUES},
)
NAMES = st.one_of(st.sampled_from(["a", "b", "__metadata__", "a.weight"]), st.text(max_size=3))


@st.composite
def sound_headers(draw: st.DrawFn) -> dict[str, Any]:
    """Headers that are right, or nearly: the interesting neighbourhood."""
    result: dict[str, Any] = {}
    offset = 0
    for name in draw(st.lists(NAMES, max_size=4, unique=True)):
        shape = draw(st.lists(st.integers(0, 3), max_size=3))
        dtype, item = draw(st.sampled_from([("F32", 4), ("U8", 1), ("BF16", 2), ("F8_E8M0", 1), ("BOOL", 1)]))
        end = offset + int(np.prod(shape, dtype=int)) * item
        result[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    return result


def agree(raw: bytes) -> bool:
    """Whether we accept the file; if we do, safetensors must, with the same tensors."""
    try:
        ours = parse_header(raw, len(raw), "f")
    except RecipeError:
        return False
    theirs = safetensors.deserialize(raw)
    assert {(n, d["dtype"], tuple(d["shape"]), bytes(d["data"])) for n, d in theirs} == {
        (t.name, t.dtype, t.shape, raw[t.start : t.end]) for t in ours.tensors
    }
    return True


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(NAMES, DESCRIPTIONS, max_size=3), st.integers(0, 30), st.booleans())
def test_what_we_accept_safetensors_accepts_random(header: dict[str, Any], size: int, compact: bool) -> None:
    agree(framed(json.dumps(header, separators=(",", ":") if compact else None), size))


@settings(max_examples=300, deadline=None)
@given(sound_headers(), st.booleans(), st.data())
def test_what_we_accept_safetensors_accepts_nearly_right(
    header: dict[str, Any], compact: bool, data: st.DataObject
) -> None:
    size = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    raw = framed(json.dumps(header, separators=(",", ":") if compact else None, ensure_ascii=compact), size)
    agree(raw)
    place = data.draw(st.integers(0, len(raw) - 1))
    piece = data.draw(
        st.sampled_from([b"", b"-", b"0", b"1", b" ", b"\t", b"\\", b'"', b",", b"}", b".", b"e", b"\xc3"])
    )
    keep = data.draw(st.booleans())
    body = raw[8:place] + piece + raw[max(place, 8) + (not keep) :] if place >= 8 else raw[8:]
    agree(framed(body[: len(body) - size], size) if body else raw)


def test_ordinary_headers_are_accepted() -> None:
    """The law above would also hold for a reader that takes nothing."""
    assert agree(framed(one(), 16))
    assert agree(framed(one().replace(" ", ""), 16))
    assert agree(framed('{"__metadata__":{"format":"pt"},' + one()[1:], 16))
