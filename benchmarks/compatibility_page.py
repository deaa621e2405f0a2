"""docs/evidence/compatibility.md from the rows of benchmarks/matrix.py. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Row = dict[str, Any]

HEAD = """# Compatibility

Every shipped recipe that was written by hand, for every target that it can be planned for, in every runtime that can be
installed on Linux. Made by `sh scripts/matrix`; do not edit.

What is run: a tiny synthetic checkpoint of the release that the recipe is written for (`dsv4recipe synth`: random
weights in the real layout, every kind of layer) is built with the recipe, loaded by the runtime's own loader, and
given a prompt of {tokens} tokens, longer than the sliding window (128) and than what the indexer picks (8 blocks), so
that compressors and indexer work; 4 tokens are decoded behind it (llama.cpp: none). GGUF files are made from rows that
ggml's blocks fill ("256"). Everything ran on the CPU, MLX by its CPU build: nothing here was run on Metal, and random
weights say nothing of quality.

{versions}

## Recipes in the runtimes

* **load**: strict: the loader refuses a bundle of which one name or shape does not fit. lenient: it does not, so
  names were replayed on its model class. **unmatched**: parameters without a tensor + tensors without a parameter.
* **long prompt**: tokens of the prompt + tokens decoded, all logits finite.
* **to source**: mean cosine of the logits, at all positions of the prompt, to those of the runtime's own class that
  holds the decoded source in float32.
* **to reference**: the same to {reference}, with the mean KL divergence in nats and how often both prefer the same
  token.
* **findings**: codes of docs/errors; — is none.

"""

REFUSED = """
## What the plan refuses

The other pairs of recipe and target: `target.runtime` changed and nothing else. The codes are in docs/errors/T.md;
each message names the change that mends it, where there is one (`mtp: drop`, `half: bfloat16`).

"""

IMPLEMENTATIONS = """
## The runtimes against an independent implementation

Each runtime's own model class against {reference}, both on the same decoded source in float32, at every position of
the prompt: no bundle and no quantization between them. It shows that what a bundle is held against is right.

"""

DIFFERENCES = """
Where they differ, and why (measured on the V4-Flash checkpoint):

* **Equal scores in the indexer.** Its score is a weighted sum of ReLUs. With the tiny checkpoint's 4 heads all ReLUs
  of a block are 0 now and then, and the 8th and the 9th best block score exactly 0 (positions 66, 74 and 109):
  torch's `topk` and MLX's `argpartition` then take different ones. Position 66 is the worst above; before it the
  largest difference is 5e-6. All MLX runtimes take the same block. The real model has 64 heads.
* **mlx-vlm without a cache** has no causal mask: a token sees those behind it. It is always run with one.
* **jang's class** projects the last position only. The hidden states of the others are projected by its `lm_head`.
* Nothing else: hash routing, compressors, hyper-connections and rotary embeddings agree.

Against the reference a bundle differs by its quantization and by the half type that the runtime computes in. `native`
holds the source's numbers exactly: its row shows what bfloat16 arithmetic alone does to this checkpoint (computed in
float32, the same bundle has a cosine of 1 - 5e-13 to the source).

V4.1 in mlx-vlm rounds its activations to FP8 and FP4, so that its logits follow the last bits of everything: noise of
1e-6 on the embedding alone moves them to a mean cosine of 0.976. Figures of V4.1 to its source say little else.
"""

SKIPPED = """
## Not run

* mlx-lm: skipped: it has a class for V4.1 only, and that one refuses Engram, which V4.1-Flash has (T007).
* The torch reference for V4.1: skipped: transformers 5.23 has no class for it.
* Recipes that `allocate` made (`fits-…`, `…-fit`): skipped: they name all 43 layers, and hold no format that the others
  lack.
* ds4: skipped: it takes models of the real size alone, and no binary of it was built here. Its headers at full size:
  `pytest tests/gguf/test_engines.py` with DS4_BIN.
* oMLX, and the mlx-lm branch of the Q3 bundle (`mlx-lm-fork`): skipped: in no package registry. oMLX has the class of
  mlx-lm#1192, as Rapid-MLX has; `omlx` bundles are loaded there.
* The applications of vMLX and oMLX, the Swift runtime, Metal: skipped: not on Linux.
"""


def page(rows: Sequence[Row], about: Row) -> str:
    """The whole page. `about` is the reference: its versions, or why it was skipped."""
    run = [row for row in rows if "versions" in row]
    versions = about.get("versions", {})
    name = f"`deepseek_v4` of transformers {versions.get('transformers')} on torch {versions.get('torch')}"
    reference = "the torch reference (skipped here)" if "skipped" in about else name
    tokens = max((row["forward"]["tokens"] for row in run if row["forward"]), default=0)
    parts = [HEAD.format(tokens=tokens, versions=_versions(run), reference=reference), _results(rows)]
    parts += [REFUSED, _refused(rows), IMPLEMENTATIONS.format(reference=reference), _implementations(run)]
    parts += [] if "skipped" in about else [DIFFERENCES]
    stand_ins = sorted({stand_in for row in run for stand_in in row["replaced"]})
    told = [f"* `{stand_in}`: not proved: a stand-in ran (docs/errors/V-runtime.md).\n" for stand_in in stand_ins]
    if "skipped" in about:
        told.append(f"* The torch reference: skipped: {about['skipped']}.\n")
    return "".join([*parts, SKIPPED, *told])


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in (head, ["---"] * len(head), *lines))


def _versions(run: Sequence[Row]) -> str:
    own = {"jang-strict": "jang"}
    found = {}
    for row in run:
        package = own.get(row["runtime"], row["runtime"])
        with_ = [f"{other} {row['versions'][other]}" for other in ("mlx-lm", "mlx") if other in row["versions"]]
        behind = f" ({', '.join(with_)})" if with_ else " of llama-cpp-python"
        found[package] = f"{package} {row['versions'].get(package, '?')}{behind}"
    return "Versions: " + "; ".join(found[name] for name in sorted(found)) + "."


def _results(rows: Sequence[Row]) -> str:
    head = [
        "recipe",
        "release",
        "target",
        "runtime",
        "load",
        "unmatched",
        "long prompt",
        "to source",
        "to reference",
        "KL",
    ]
    return _table([*head, "same token", "findings"], [_result(row) for row in rows if "refused" not in row])


def _result(row: Row) -> list[str]:
    start = [row["recipe"], row["release"], row["target"]]
    if "skipped" in row:
        return [*start, row["runtime"] or "—", f"skipped: {row['skipped']}", *["—"] * 7]
    run, source, reference = row["forward"], row["dense"], row["reference"]
    kind = "lenient" if row["runtime"] in ("jang", "vmlx") else "strict"
    good = run and run["long"] and run["finite"] and run["decoded_finite"]
    return [
        *start,
        row["runtime"],
        kind if row["loaded"] else "FAILED",
        f"{row['missing']} + {row['unexpected']}",
        f"{run['tokens']} + {run['decoded']}" if good else "FAILED",
        f"{source['cosine']:.5f}" if source else "—",
        f"{reference['cosine']:.5f}" if reference else "—",
        f"{reference['kl']:.4f}" if reference else "—",
        f"{reference['top1']:.0%}" if reference else "—",
        ", ".join(row["findings"] + row["contract"]) or "—",
    ]


def _refused(rows: Sequence[Row]) -> str:
    refused = [row for row in rows if "refused" in row]
    return _table(
        ["recipe", "release", "target", "codes"],
        [[row["recipe"], row["release"], row["target"], ", ".join(row["refused"])] for row in refused],
    )


def _implementations(run: Sequence[Row]) -> str:
    first: dict[str, Row] = {}
    for row in run:
        if row["implementation"]:
            first.setdefault(row["runtime"], row["implementation"])
    head = ["runtime", "mean cosine", "worst cosine", "KL", "same token", "largest difference"]
    lines = []
    for name, found in sorted(first.items()):
        figures = (f"{found['cosine']:.7f}", f"{found['worst_cosine']:.5f}", f"{found['kl']:.1e}")
        lines.append([name, *figures, f"{found['top1']:.1%}", f"{found['max_delta']:.2g}"])
    return _table(head, lines)
