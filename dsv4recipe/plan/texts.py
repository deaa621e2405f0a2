"""Floor 3, plan. The small files of a source as texts, each read when it is asked for. Reads small source files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from dsv4recipe.checkpoint.folder import Folder


class Texts(Mapping[str, str]):
    """The files of a source by name, each read when it is asked for."""

    def __init__(self, folder: Folder, names: Iterable[str]):
        self._folder = folder
        self._names = frozenset(names)

    def __getitem__(self, name: str) -> str:
        if name not in self._names:
            raise KeyError(name)
        return self._folder.text(name)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._names))

    def __len__(self) -> int:
        return len(self._names)
