"""Measurements that others published, and the steps that they measured: what `sslbench validate` predicts again."""
