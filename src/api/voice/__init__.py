"""Telephone systems: the lines to them, and what they and the tenants' loops hear of each other."""
