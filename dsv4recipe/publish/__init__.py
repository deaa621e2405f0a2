"""Floor 4, publish. Uploads a proven bundle to the hub in one commit, and compares the hub's files afterwards."""
