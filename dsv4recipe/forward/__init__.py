"""Floor 4, forward. Text through a model, one decoder layer in memory at a time, with taps for whoever looks on.

The layers are those of transformers' `deepseek_v4` on torch (extra `measure`). Weights come from a checkpoint, a plan
or a bundle; `run.forward` is the way in, `taps.Tap` what a consumer implements.
"""
