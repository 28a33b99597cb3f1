"""The native engine: a small net's ticks emitted as C, for one job or one job a SIMD lane."""
