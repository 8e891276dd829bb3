"""The composition: the one room that knows every concrete part, and the settings."""
