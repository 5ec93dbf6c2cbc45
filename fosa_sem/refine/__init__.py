"""Self-attention refinement of conditional means: a `Completion` goes in, a `Completion` comes out.

`config` is light to import; `attention`, `remasking`, `training` and `refiner` import torch. Nothing here
knows of structural equation models: cells, conditional moments and a Gaussian rule are all that is read.
"""
