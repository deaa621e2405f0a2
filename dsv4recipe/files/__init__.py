"""Floor 4, files. Files on disk: written durably, read back, read by position. The build and the proof stand on it."""
