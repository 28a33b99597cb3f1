"""Pictures of a job's curve: what is drawn, and the writers of SVG, PNG and text. No store."""
