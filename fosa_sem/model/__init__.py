"""The reticular action model (RAM): theta -> moments and their derivatives. No names below this line."""
