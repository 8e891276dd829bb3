"""The way between the processes of one service: orders go to the process that serves their tenant."""
