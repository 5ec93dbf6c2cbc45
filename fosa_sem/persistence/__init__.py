"""Fitted imputers in files."""
