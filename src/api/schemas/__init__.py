"""What comes in over REST, as pydantic models: strict types, no unknown fields, every size bounded.

One file for each topic. Bodies of configuration are stored as they are dumped (`by_alias`), and read back through the
same models: a body that was stored before a field was there gets the field's default. So bounds only ever widen.
"""

from src.api.schemas.access import AccountBody, CustomerPatch, KeyBody, TokenBody
from src.api.schemas.agents import (
    AgentBody,
    ChannelLimitBody,
    CompleteBody,
    DeclineBody,
    NewcomerBody,
    PresenceBody,
    SkillBody,
)
from src.api.schemas.base import (
    Body,
    ChannelName,
    ChoiceBody,
    DeadlinesBody,
    Id,
    Language,
    Moment,
    Name,
    ReasonBody,
    Short,
    Text,
)
from src.api.schemas.collaborations import CloseBody, CollaborateBody, HelpBody, ReplyBody
from src.api.schemas.connectors import ConnectorBody
from src.api.schemas.contacts import (
    AssignBody,
    BatchBody,
    CancelBody,
    ContactBody,
    ContactPatch,
    ExplainBody,
    NeedBody,
    ParkBody,
    PinBody,
    ProgressLinkBody,
    ResumeBody,
    ReturnBody,
    TransferBody,
    tag_requests,
)
from src.api.schemas.messages import MessageBody, MessageFrame, ReceiptBody
from src.api.schemas.policies import DepartmentBody, PilotBody, RuleBody, SettingsBody, TagConfigBody
from src.api.schemas.queues import QueueBody

__all__ = [
    "AccountBody",
    "AgentBody",
    "AssignBody",
    "BatchBody",
    "Body",
    "CancelBody",
    "ChannelLimitBody",
    "ChannelName",
    "ChoiceBody",
    "CloseBody",
    "CollaborateBody",
    "CompleteBody",
    "ConnectorBody",
    "ContactBody",
    "ContactPatch",
    "CustomerPatch",
    "DeadlinesBody",
    "DeclineBody",
    "DepartmentBody",
    "ExplainBody",
    "HelpBody",
    "Id",
    "KeyBody",
    "Language",
    "MessageBody",
    "MessageFrame",
    "Moment",
    "Name",
    "NeedBody",
    "NewcomerBody",
    "ParkBody",
    "PilotBody",
    "PinBody",
    "PresenceBody",
    "ProgressLinkBody",
    "QueueBody",
    "ReasonBody",
    "ReceiptBody",
    "ReplyBody",
    "ResumeBody",
    "ReturnBody",
    "RuleBody",
    "SettingsBody",
    "Short",
    "SkillBody",
    "TagConfigBody",
    "Text",
    "TokenBody",
    "TransferBody",
    "tag_requests",
]
