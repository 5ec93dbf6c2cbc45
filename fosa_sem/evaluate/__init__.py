"""How good are filled cells: hide observed cells, fill them again without a look at them, and score."""
