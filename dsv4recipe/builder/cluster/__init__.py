"""Floor 4, builder, cluster. Runs the same build on the workers of a Dask cluster; see docs/how-to/scale-out.md."""
