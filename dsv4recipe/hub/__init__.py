"""Floor 1, hub. Repositories of the hub through huggingface_hub: files of a commit, their bytes, a bounded scratch."""
