"""When an attempt saves a checkpoint, how it is written, and what is reported."""
