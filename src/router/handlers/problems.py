"""What the journal is told of common problems. Which contacts are linked to one is not for the engine to know."""

from src.router import collaborating, commands
from src.router.handlers.base import Room


def tell_problem(room: Room, command: commands.TellProblem) -> None:
    """Put it in the journal; one who is there for the department hears it, as a request for its help would be heard."""
    board = room.board
    department = board.config.departments.get(command.department or "")
    agent_id = None if department is None else collaborating.there_for(board, department)
    board.emit(command.type, command.data, agent_id=agent_id)
