"""Measurements: contenders and the raw limit in one run, interleaved; medians; results under `results/`."""
