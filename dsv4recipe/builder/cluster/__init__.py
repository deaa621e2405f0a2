"""Floor 4, builder, cluster. The same build on the workers of a Dask cluster: docs/how-to/scale-out.md."""
