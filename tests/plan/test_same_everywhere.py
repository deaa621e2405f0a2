"""A plan's digest and a lock's bytes do not depend on hash seed, order of listings, locale, time zone or folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

RUNS = 20
FOLDERS = 2
SCRIPT = """
import hashlib, locale, os, random, sys
locale.setlocale(locale.LC_ALL, "")
dice = random.Random(int(sys.argv[2]))

class Shuffled(list):
    def __init__(self, found):
        super().__init__(found)
        dice.shuffle(self)
    __enter__ = lambda self: iter(self)
    def __next__(self):
        if not self:
            raise StopIteration
        return self.pop()
    __exit__ = lambda self, *error: None

listdir, scandir = os.listdir, os.scandir
os.listdir = lambda *place: Shuffled(listdir(*place))
os.scandir = lambda *place: Shuffled(scandir(*place))
from dsv4recipe import load_recipe, make_plan, open_checkpoint
from dsv4recipe.plan.canonical import dump_plan
from dsv4recipe.plan.lock import lock_text
checkpoint = open_checkpoint(sys.argv[1])
for name in ("q3-mixed", "q4q8"):
    plan = make_plan(load_recipe(name), checkpoint)
    lock = lock_text(plan, checkpoint, (), "1")
    print(plan.digest, *(hashlib.sha256(text.encode()).hexdigest() for text in (dump_plan(plan), lock)))
print(",".join(os.listdir(sys.argv[1])), file=sys.stderr)
"""


def test_twenty_runs_in_twenty_surroundings_say_the_same(tiny_source: Path, tmp_path: Path) -> None:
    folders = [tmp_path / f"copy-{number}" / "source" for number in range(FOLDERS)]
    for folder in folders:
        shutil.copytree(tiny_source, folder)

    def run(number: int) -> tuple[str, str]:
        surroundings = {
            "PYTHONHASHSEED": str(number),
            "TZ": ("UTC", "Asia/Kathmandu", "America/St_Johns")[number % 3],
            "LC_ALL": ("C", "C.UTF-8", "POSIX")[number % 3],
            "LANG": ("tr_TR.UTF-8", "de_DE.UTF-8")[number % 2],
            "HOME": str(tmp_path),
            "PATH": os.environ["PATH"],
        }
        command = [sys.executable, "-c", SCRIPT, str(folders[number % FOLDERS]), str(number)]
        done = subprocess.run(command, env=surroundings, cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout, done.stderr

    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(run, range(RUNS)))
    assert len({orders for _, orders in runs}) > RUNS // 2
    assert len({said for said, _ in runs}) == 1
    assert len(runs[0][0].split()) == 6
