"""Floor 4, reports. Makes one self-contained HTML page from a plan or a bundle. Pure, except for its own templates."""
