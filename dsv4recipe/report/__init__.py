"""Floor 4, report. One self-contained HTML page from a plan or a bundle. Pure but for its own templates."""
