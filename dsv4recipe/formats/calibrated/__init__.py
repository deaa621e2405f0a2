"""Floor 1, formats. Encoding that knows what goes into a matrix: errors are weighed by H and fed back. This module is
pure."""
