"""Floor 4, verifier (child side). Loads a bundle in the installed runtime and reports in one JSON document.

This is the only folder that imports the runtimes (mlx-lm, jang_tools, vmlx_engine). It runs in a process of its own, in
an interpreter that may not have this project, so it imports nothing of the project beyond itself.
"""
