"""What a client may ask for: the JobSpec, its parts, and what must fit together. No torch."""
