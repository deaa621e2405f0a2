"""Every shipped recipe and fit on the yardstick: the tables of docs/evidence/quality.md, and the figures that ship."""
