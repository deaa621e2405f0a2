"""Runs in the interpreter that has llama-cpp-python.

python llama_child.py logits MODEL.gguf OUT.npy TOKEN...     writes logits, computed on the CPU; prints its version
python llama_child.py vocabulary MODEL.gguf                  loads header and tokenizer alone, says what it saw
"""

from __future__ import annotations

import sys
from importlib.metadata import version

import llama_cpp.llama_cpp as library
import numpy as np
from llama_cpp import Llama

usual = library.llama_model_default_params


def as_stored() -> object:
    """Returns the settings with weights as they are stored: repacked for AMX, llama.cpp stops at this architecture."""
    found = usual()
    found.use_extra_bufts = False
    return found


library.llama_model_default_params = as_stored


def main() -> None:
    what, model, *rest = sys.argv[1:]
    if what == "vocabulary":
        llama = Llama(model, vocab_only=True, verbose=False)
        print(llama.n_vocab(), llama.metadata["general.architecture"], llama.metadata["deepseek4.block_count"])
        return
    out, *tokens = rest
    llama = Llama(model, n_ctx=256, n_batch=64, logits_all=True, verbose=False, n_gpu_layers=0, n_threads=2)
    llama.eval([int(token) for token in tokens])
    print(version("llama-cpp-python"))
    np.save(out, np.asarray(llama.scores[: len(tokens)], np.float32))


if __name__ == "__main__":
    main()
