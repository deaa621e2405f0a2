"""A number format from outside the package: what adding one takes."""
