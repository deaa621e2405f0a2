"""Floor 1, importance. What each input column of a matrix is worth: imatrix files of llama.cpp and ds4."""

from dsv4recipe.importance.model import Importance, PlannedImportance, column_weights

__all__ = ["Importance", "PlannedImportance", "column_weights"]
