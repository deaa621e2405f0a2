"""Floor 2, runtimes. Name maps: from a family's source stems to a runtime's module paths. This module is pure.

A map is two tables of whole dotted segments, longest first: one for globals, one for what follows `layers.N.` or
`mtp.N.`. What no row renames keeps its own name under `root`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NameMap:
    """`root` is the prefix of everything below the model, "model."; `globals_` maps whole stems; `layer` maps leading
    dotted segments after `layers.N.` to their replacement; `block` is what a layer itself is called, MTP stages stay
    under `mtp.N.`, and stems that begin with a segment of `outside` as they are. `wrapper` is what a runtime puts
    around the whole model ("language_model."): it is part of its module paths, and not of names on disk."""

    root: str
    globals_: dict[str, str]
    layer: dict[str, str]
    wrapper: str = ""
    outside: tuple[str, ...] = ()
    block: str = "layers"

    def path(self, stem: str) -> str:
        """Returns the post-sanitize module or parameter path of a source stem.

        "layers.3.ffn.experts.{E}.w1" → "model.layers.3.mlp.switch_mlp.gate_proj".
        """
        return self.wrapper + self.inner(stem)

    def inner(self, stem: str) -> str:
        """Returns the path without the wrapper: the name a tensor has on disk where names are post-sanitize."""
        head, _, below = stem.partition(".")
        if head in ("layers", "mtp"):
            number, _, rest = below.partition(".")
            block = self.root + self.block if head == "layers" else head
            return f"{block}.{number}.{rename(rest, self.layer)}"
        return stem if head in self.outside else self.globals_.get(stem, self.root + stem)

    def lookups(self, stem: str) -> tuple[str, ...]:
        """Returns the keys under which the runtime looks for a module's quantization entry; the first that is there
        wins.

        A runtime with a wrapper also takes the path without it, without the root, and the source's own stem where that
        differs: `embed`, `head`, shared `w1`.
        """
        inner = self.inner(stem)
        tried = (self.wrapper + inner, inner, inner.removeprefix(self.root), stem) if self.wrapper else (inner,)
        return tuple(dict.fromkeys(tried))


def rename(name: str, table: dict[str, str]) -> str:
    """Replaces the longest leading run of dotted segments that the table knows."""
    segments = name.split(".")
    for length in range(len(segments), 0, -1):
        head = ".".join(segments[:length])
        if head in table:
            return ".".join([table[head], *segments[length:]])
    return name


PROJECTION_OF = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}
"""DeepSeek's expert matrices under their MLX names: w1 is gate, w2 down, w3 up."""

_SUFFIXES = (".weight", ".scales", ".biases", ".tq_packed", ".tq_norms", ".tq_bits")


def split_name(name: str) -> tuple[str, str]:
    """Returns ("layers.0.attn.wq_a", ".scales") of a stored tensor's name; the suffix is "" for a bare parameter."""
    for suffix in _SUFFIXES:
        if name.endswith(suffix):
            return name.removesuffix(suffix), suffix
    return name, ""
