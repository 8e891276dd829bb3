"""What becomes of each command: one function for each, in a file for each kind of thing that is asked."""
