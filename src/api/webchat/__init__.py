"""What visitors' browsers speak with: sessions, conversations over socket and REST, and the widget itself.

The protocol is written down in `docs/webchat.md`.
"""
