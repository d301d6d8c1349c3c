"""The regression gate: two sides of a change, compared exactly where traces are, statistically where times are."""
