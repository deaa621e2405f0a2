"""Floor 4, verifier (child side). Keeps the runtime away from home, network and bundle. Writes in scratch only.

The runtime gets the bundle as a folder of links. A loader that replaces files (vMLX realigns shards and rewrites the
index) replaces links, and each replaced link is a finding.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_OWN_SWITCHES = ("DSV4_", "JANG", "VMLX_")  # the runtimes' own environment switches: the proof is about their defaults


def isolate(scratch: Path) -> None:
    """Puts home and caches under `scratch`, and disables the network, bytecode files and the runtimes' switches.

    It must run before any part of a runtime is imported. The system's temporary folder stays, because mlx keeps its
    compiled CPU kernels there, and every process would compile them again (10 s a run, measured).
    """
    for name in [name for name in os.environ if name.startswith(_OWN_SWITCHES)]:
        del os.environ[name]
    home = scratch / "home"
    for name, folder in {
        "HOME": home,
        "XDG_CACHE_HOME": home / ".cache",
        "HF_HOME": home / ".cache" / "huggingface",
    }.items():
        folder.mkdir(parents=True, exist_ok=True)
        os.environ[name] = str(folder)
    os.environ.update(
        HF_HUB_OFFLINE="1",
        TRANSFORMERS_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        TOKENIZERS_PARALLELISM="false",
        DSV4_LONG_CTX="1",  # the native cache, which vMLX always sets (load_jangtq_dsv4)
        VMLX_GPU_KEEPALIVE="0",  # a heartbeat thread that only prints warnings without a GPU
    )
    sys.dont_write_bytecode = True


def limit_memory(size: int | None) -> bool:
    """Limits the address space of this process to `size` bytes. Returns whether the system enforces that: Linux does;
    macOS accepts the limit and ignores it, and a Mac's GPU memory would not count either."""
    if size is None or not sys.platform.startswith("linux"):
        return False
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    return True


def peak_memory() -> int:
    """Returns the largest resident set of this process so far in bytes, or 0 if the system does not say.

    On Linux getrusage is not used, because it counts what the parent held when it forked.
    """
    status = Path("/proc/self/status")
    if status.exists():
        peak = next((line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:")), "0")
        return int(peak) * 1024
    try:
        import resource
    except ImportError:
        return 0
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # macOS: bytes


def linked_view(bundle: Path, scratch: Path) -> Path:
    """Returns a folder in `scratch` with the bundle's own name, real folders, and one link per file."""
    bundle = bundle.resolve()
    view = scratch / "view" / bundle.name
    for folder, _, files in os.walk(bundle):
        target = view / Path(folder).relative_to(bundle)
        target.mkdir(parents=True, exist_ok=True)
        for name in files:
            (target / name).symlink_to(Path(folder) / name)
    return view


def replaced_in(view: Path, bundle: Path) -> list[str]:
    """Returns the files of the view that are no longer the links of `linked_view`: replaced, added or removed."""
    bundle = bundle.resolve()
    changed = set()
    for folder, _, files in os.walk(view):
        relative = Path(folder).relative_to(view)
        for name in files:
            if name.endswith((".lock", ".pyc")):
                continue
            link = Path(folder) / name
            if not link.is_symlink() or os.readlink(link) != str(bundle / relative / name):
                changed.add((relative / name).as_posix())
    for folder, _, files in os.walk(bundle):
        relative = Path(folder).relative_to(bundle)
        changed.update((relative / name).as_posix() for name in files if not (view / relative / name).is_symlink())
    return sorted(changed)
