"""Channels: native protocols in, the normal form out. One file or folder each, found by `base.discover`."""
