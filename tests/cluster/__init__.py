"""Builds on a Dask cluster: real workers, killed, cut off, slow, and those that would build something else."""
