"""Uploaded datasets: received, profiled, kept, shown, deleted. Knows no HTTP and no tensor."""
