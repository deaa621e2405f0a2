"""Floor 1, importance. Says what each input column of a matrix is worth: imatrix files of llama.cpp and ds4."""
