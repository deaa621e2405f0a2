"""Floor 4, files. Writes files durably, reads them back, reads by position. The build and the proof stand on it."""
