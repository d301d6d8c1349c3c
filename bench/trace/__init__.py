"""Runs a step on fake tensors and records what it allocates and computes, as the target device would."""
