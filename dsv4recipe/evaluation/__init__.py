"""Floor 4, evaluation. What a model loses when it is quantized, measured on text: NLL, KL to the source, same answers.

The forward pass is `forward`; here are texts, scores, their statistics and the evidence file.
"""
