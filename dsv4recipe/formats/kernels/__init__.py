"""Floor 1, formats, kernels. Compiled loops over arrays: no format objects, no files, no Python objects inside.

One file per concern.
"""
