"""The `cordboard` command. Each command is a few lines over the rest of the service, or a program over its API."""
