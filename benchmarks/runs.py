"""What the benchmarks share: commands timed in processes of their own, the raw copy, medians, the machine's name."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

CHUNK = 16 << 20
PROGRAM = [sys.executable, "-m", "dsv4recipe"]
Run = dict[str, float]


def timed(command: list[str], **environment: str) -> Run:
    """Wall seconds, CPU seconds and peak RSS in MB of a command in a process of its own."""
    begin = time.perf_counter()
    environment = {**os.environ, **environment}
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    rss = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return {"wall": time.perf_counter() - begin, "cpu": usage.ru_utime + usage.ru_stime, "rss_mb": rss}


def raw_copy(source: Path, out: Path, size: int) -> None:
    """Reads every shard of `source`, writes `size` bytes to one file, and syncs it."""
    block = bytearray(CHUNK)
    for path in sorted(source.glob("*.safetensors")):
        with path.open("rb", buffering=0) as stream:
            while stream.readinto(block):
                pass
    with out.open("wb", buffering=0) as stream:
        for start in range(0, size, CHUNK):
            stream.write(memoryview(block)[: min(CHUNK, size - start)])
        os.fsync(stream.fileno())


def payload(folder: Path) -> int:
    """Bytes of a folder's shards."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def slice_of(work: Path, experts: int) -> Path:
    """A synthetic slice at V4-Flash's real shapes (one layer), made once."""
    source = work / f"slice-{experts}"
    if not source.exists():
        work.mkdir(parents=True, exist_ok=True)
        size = ["--preset", "slice", "--experts", str(experts)]
        subprocess.run([*PROGRAM, "synth", str(source), *size], check=True, stdout=subprocess.DEVNULL)
    return source


def median(runs: list[Run]) -> Run:
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def machine() -> dict[str, Any]:
    names = ("numba", "numpy", "mlx")
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in names},
    }


def _processor() -> str:
    """The processor and whether it has instructions for SHA-256, which decide what hashing costs."""
    try:
        info = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or "unknown"
    name = next(
        (line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")), "unknown"
    )
    return f"{name}, {'with' if ' sha_ni' in info or ' sha2' in info else 'without'} SHA-256 instructions"
