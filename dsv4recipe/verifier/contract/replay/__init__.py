"""Floor 4, verifier. Replays over a bundle's headers what each known loader would make of it. This module is pure."""
