"""How good a tagger is: metrics, benchmarks, calibration, and the report."""
