"""Floor 1, hub. Reads repositories on the hub with huggingface_hub: files of a commit, their bytes, a limited
scratch."""
