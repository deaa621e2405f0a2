"""Floor 4, reports. One self-contained HTML page from a plan or a bundle. Pure but for its own templates."""
