"""What the fault suite is made of: servers that can be broken, a load that keeps its own books, and a checker."""
