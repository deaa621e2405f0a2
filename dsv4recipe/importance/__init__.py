"""Floor 1, importance. What each input column of a matrix is worth: imatrix files of llama.cpp and ds4."""
