"""Floor 4, forward. Runs text through a model with one decoder layer in memory at a time, and offers taps to observe
it.

The layers are those of transformers' `deepseek_v4` on torch (extra `measure`). Weights come from a checkpoint, a plan
or a bundle. `run.forward` is the entry point, and consumers implement `taps.Tap`.
"""
