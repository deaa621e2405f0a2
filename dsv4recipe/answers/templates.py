"""Floor 4, answers. Whether a bundle says how a chat becomes a prompt, for servers that guess where it does not. Reads
small files and the header of a GGUF.
"""

from __future__ import annotations

from pathlib import Path

from dsv4recipe.errors import Diagnostic, Where
from dsv4recipe.headers.gguf import read_gguf_header
from dsv4recipe.runtimes.common.chat_template import NAME, WORDS
from dsv4recipe.runtimes.common.server import Server


def guesses(bundle: Path, server: Server) -> tuple[Diagnostic, ...]:
    """Returns a warning, S017, where the server would take a chat for another model's."""
    if not server.otherwise or _says(bundle):
        return ()
    message = f"no chat template in the bundle: {server.name} takes {server.otherwise}, which the model never learned"
    hint = "build it again: a bundle gets a template where its source has none; or take another runtime"
    return (Diagnostic("S017", message, Where(str(bundle), subject=NAME), hint, "warning"),)


def _says(bundle: Path) -> bool:
    if bundle.is_file():
        return bool(read_gguf_header(bundle).value("tokenizer.chat_template"))
    if (bundle / NAME).is_file():
        return True
    words = bundle / WORDS
    return words.is_file() and '"chat_template"' in words.read_text(encoding="utf-8", errors="replace")
