"""Cordboard: omnichannel contact routing. ARCHITECTURE.md says what each room is for."""
