"""The chain and the example project on real engines."""
