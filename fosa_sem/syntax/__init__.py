"""The model language: text -> statements -> parameter table."""
