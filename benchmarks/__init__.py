"""Measurements: contenders and the raw limit in one run, interleaved; medians; results under `results/`.

`python -m benchmarks --help` says what there is. A measurement is a process of its own (`measure`), a bench is a list
of them (`catalogue`), the runner lets them take turns (`runner`), and what comes out is a list of figures (`figures`).
Goals are held against these, and the tables, the pages and the simulation of scale are made from them.
"""
