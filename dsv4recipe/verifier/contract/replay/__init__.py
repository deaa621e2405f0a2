"""Floor 4, verifier. What each known loader would make of a bundle, replayed over its headers. This module is pure."""
