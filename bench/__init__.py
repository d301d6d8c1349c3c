"""The engine: recipes to traces and measurements, traces to predictions, all of them to records."""
