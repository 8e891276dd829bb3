"""A tape of random operations drives the engine on a fake clock; a naive oracle checks every promise at every step.

`operations` says what may happen, `player` makes it happen, `naive` answers one by one what the engine answers by its
index, and `promises` (by event) and `rest` (when nothing more is due) say what must hold.
"""
