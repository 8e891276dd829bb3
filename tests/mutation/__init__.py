"""Faults that are put into a copy of the engine, to see whether the tests notice."""
