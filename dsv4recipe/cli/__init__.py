"""Floor 6, cli. Holds one file per command, which parses, calls and renders. There is no logic here."""
