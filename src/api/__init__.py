"""The public interface: REST and WebSocket. It parses, authorises, asks the dispatch room or reads, and renders."""
