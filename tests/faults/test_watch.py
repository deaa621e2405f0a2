"""What a plan, a build and a verification touch, as Python itself reports it: no pickle, nothing outside OUT."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CHILD = """
import os, sys
from pathlib import Path
from dsv4recipe import build, load_recipe, make_plan, open_checkpoint, verify
from dsv4recipe.formats.encode import encode  # compiled code is cached beside the package: before the watch
source, out = Path(sys.argv[1]), Path(sys.argv[2])
build(make_plan(load_recipe("q4q8"), open_checkpoint(source)), open_checkpoint(source), Path(sys.argv[3]))
read, changed, forbidden = set(), set(), []
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
PLACES = {"os.rename": (0, 1), "os.link": (0, 1), "os.symlink": (1,), "os.remove": (0,), "os.mkdir": (0,),
          "os.rmdir": (0,), "os.truncate": (0,), "os.chmod": (0,), "os.utime": (0,), "shutil.copyfile": (1,)}
def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
        (changed if arguments[2] & WRITING else read).add(os.path.realpath(os.fsdecode(arguments[0])))
    for place in PLACES.get(event, ()):
        if isinstance(arguments[place], (str, bytes, os.PathLike)):
            changed.add(os.path.realpath(os.fsdecode(arguments[place])))
    if event in ("pickle.find_class", "socket.connect", "subprocess.Popen", "os.system"):
        forbidden.append((event, str(arguments)))
    if event in ("exec", "compile") and str(source) in str(arguments):
        forbidden.append((event, str(arguments)))
sys.addaudithook(watch)
checkpoint = open_checkpoint(source)
build(make_plan(load_recipe("q4q8"), checkpoint), checkpoint, out)
assert verify(out).ok
for path in sorted(read): print("read", path)
for path in sorted(changed): print("changed", path)
print("forbidden", forbidden)
"""


def test_pickles_and_code_in_the_source_are_never_opened_and_nothing_is_written_outside_out(
    source_copy: Path, tmp_path: Path
) -> None:
    harm = b"cos\nsystem\n(S'touch harmed'\ntR."
    for name in ("pytorch_model.bin", "x.pt", "y.ckpt", "z.pth", "w.pkl", "training_args.bin"):
        (source_copy / name).write_bytes(harm)
    for name in ("modeling_deepseek.py", "configuration_deepseek.py", "conftest.py", "sitecustomize.py"):
        (source_copy / name).write_text("open('harmed', 'w')\n")
    home = tmp_path / "out"
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    run = subprocess.run(
        [sys.executable, "-B", "-c", CHILD, str(source_copy), str(home / "bundle"), str(tmp_path / "first" / "b")],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    lines = [line.partition(" ")[::2] for line in run.stdout.splitlines()]
    root = os.path.realpath(tmp_path)
    read = {path for kind, path in lines if kind == "read" and path.startswith(root)}
    assert os.path.realpath(source_copy / "model-00001-of-00007.safetensors") in read
    assert [path for path in read if path.endswith((".bin", ".pt", ".ckpt", ".pth", ".pkl"))] == []
    assert [path for path in read if path.endswith(".py") and "/encoding/" not in path] == []
    changed = {path for kind, path in lines if kind == "changed"}
    allowed = os.path.realpath(home)
    assert [path for path in changed if not path.startswith(allowed) and "__pycache__" not in path] == []
    assert any(path.startswith(allowed) for path in changed)
    assert ("forbidden", "[]") in lines
    after = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*") if not p.is_relative_to(home)}
    after = {p: t for p, t in after.items() if not p.is_relative_to(tmp_path / "first")}
    assert after == before
