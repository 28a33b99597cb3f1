"""Jobs that go on from a checkpoint of another: what is copied, and the service that makes them."""
