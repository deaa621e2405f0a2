"""Floor 4, verifier (child side). Loads a bundle in the installed runtime and says in one JSON document what it saw.

The only folder of the house that imports the runtimes (mlx-lm, jang_tools, vmlx_engine). It is run in a process of
its own, by an interpreter that may know nothing of this project: so it imports nothing of the house beyond itself.
"""
