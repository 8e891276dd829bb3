"""What comes in over REST, as pydantic models: strict types, no unknown fields, every size bounded.

One file for each topic. Bodies of configuration are stored as they are dumped (`by_alias`), and read back through the
same models: a body that was stored before a field was there gets the field's default. So bounds only ever widen.
"""

from src.api.schemas.access import AccountBody, KeyBody, RotateBody, TokenBody, TrustBody
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
    FollowUpBody,
    IdentityBody,
    NeedBody,
    ParkBody,
    PinBody,
    ProgressLinkBody,
    ResumeBody,
    ReturnBody,
    TransferBody,
    tag_requests,
)
from src.api.schemas.customers import (
    ConflictVerdict,
    CustomerPatch,
    IdentifyBody,
    MergeBody,
    ReviewBody,
    SatisfactionBody,
    UnmergeBody,
)
from src.api.schemas.messages import MessageBody, MessageFrame, ReceiptBody
from src.api.schemas.policies import DepartmentBody, PilotBody, RuleBody, SettingsBody, TagConfigBody
from src.api.schemas.problems import CommonProblemBody, LinkBody, SolveBody
from src.api.schemas.queues import QueueBody
from src.api.schemas.rosters import RosterBody
from src.api.schemas.webhooks import EventType, ReplayBody, RotateWebhookBody, WebhookBody
from src.api.schemas.whole import ConfigurationBody, KeptAccountBody, KeptConnectorBody

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
    "CommonProblemBody",
    "CompleteBody",
    "ConfigurationBody",
    "ConflictVerdict",
    "ConnectorBody",
    "ContactBody",
    "ContactPatch",
    "CustomerPatch",
    "DeadlinesBody",
    "DeclineBody",
    "DepartmentBody",
    "EventType",
    "ExplainBody",
    "FollowUpBody",
    "HelpBody",
    "Id",
    "IdentifyBody",
    "IdentityBody",
    "KeptAccountBody",
    "KeptConnectorBody",
    "KeyBody",
    "Language",
    "LinkBody",
    "MergeBody",
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
    "ReplayBody",
    "ReplyBody",
    "ResumeBody",
    "ReturnBody",
    "ReviewBody",
    "RosterBody",
    "RotateBody",
    "RotateWebhookBody",
    "RuleBody",
    "SatisfactionBody",
    "SettingsBody",
    "Short",
    "SkillBody",
    "SolveBody",
    "TagConfigBody",
    "Text",
    "TokenBody",
    "TransferBody",
    "TrustBody",
    "UnmergeBody",
    "WebhookBody",
    "tag_requests",
]
