"""The multi-layer perceptron: linear layers with a norm and an activation between them."""
