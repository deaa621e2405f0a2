"""Floor 4, evaluation. Measures on text what a model loses by quantization: NLL, KL to the source, same answers.

The forward pass is in `forward`; this room has texts, scores, their statistics and the evidence file.
"""
