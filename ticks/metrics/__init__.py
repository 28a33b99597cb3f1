"""What a net's outputs on held-out rows are worth: metrics of numbers, classes and texts."""
