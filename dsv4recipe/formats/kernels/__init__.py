"""Floor 1, formats, kernels. Compiled loops over arrays: no format objects, no files, no Python objects inside.

One file per concern. A kernel calls only kernels of its own file: numba's on-disk cache watches one source file
per kernel, so a change in another file would leave stale machine code behind.
"""
