"""What calibrated encoding brings on the yardstick: see __main__.py."""
