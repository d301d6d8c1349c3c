"""Machines as data: one TOML file a machine, its schema and its loader."""
