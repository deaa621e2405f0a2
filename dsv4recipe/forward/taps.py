"""Floor 4, forward. Defines taps, through which a consumer observes the forward pass. This module is pure.

Subclass `Tap` and override the methods that you need; the others cost nothing. Arrays are float32 numpy arrays in the
memory of the pass, so copy what you keep. Tokens are numbered over all sequences, one after the other: token t of the
pass is `numpy.concatenate(sequences)[t]`.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from dsv4recipe.checkpoint.graph import Group

Floats = NDArray[Any]


class Tap:
    """A consumer that observes nothing. For each layer in turn, the calls come in this order:

    1. `linear` for the modules of attention and the router that `wants` accepts, a batch of sequences at a time, in the
       order of the tokens;
    2. `experts`, once, with all tokens;
    3. `expert`, once or more for every expert that a token reached, in the order of the experts;
    4. `linear` for the shared experts;
    5. `layer`, once.

    At the end `linear` is called for the head and `logits` for the result, a chunk of tokens at a time. Between 2 and 3
    no routed expert of the layer has been read from the weights yet, so a consumer may decide in `experts` what its
    `Weights` return then.
    """

    def wants(self, group: Group) -> bool:  # noqa: ARG002 - for subclasses
        """Returns whether `linear` is called for this module: any matrix outside the routed experts, by its group."""
        return False

    def linear(self, group: Group, first: int, inputs: Floats) -> None:
        """Receives inputs of a matrix: float32 [tokens, in] of the tokens from `first` on. The grouped output
        projection (`wo_a`) multiplies `o_groups` parts of a token by its own parts: float32 [tokens, o_groups, in]."""

    def experts(self, layer: int, inputs: Floats, ids: Floats, weights: Floats) -> None:
        """Receives the expert block of a layer: its inputs float32 [tokens, hidden], which are also those of gate and
        up of every routed and shared expert; the experts of each token, int64 [tokens, topk]; and their weights,
        float32 [tokens, topk], which multiply the outputs (the scaling factor is included)."""

    def wants_expert(self, layer: int) -> bool:  # noqa: ARG002 - for subclasses
        """Returns whether `expert` is called in this layer."""
        return False

    def expert(self, layer: int, expert: int, tokens: Floats, inputs: Floats, weights: Floats, inner: Floats) -> None:
        """Receives one routed expert: the numbers of its tokens int64 [n], the inputs of gate and up float32 [n,
        hidden], the routing weights float32 [n], and the inputs of down, silu(gate)·up, float32 [n, inter], not yet
        weighted."""

    def layer(self, layer: int) -> None:
        """Is called when all tokens have passed a layer."""

    def wants_logits(self) -> bool:
        """Returns whether `logits` is called."""
        return False

    def logits(self, first: int, values: Floats) -> None:
        """Receives logits float32 [tokens, vocab] of the tokens from `first` on."""
