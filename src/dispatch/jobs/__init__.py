"""What callers and channels can want of a tenant, as jobs. Each says what it must know, then decides in its turn."""

from src.dispatch.jobs.facts import Configure, Remember
from src.dispatch.jobs.following import FollowUp
from src.dispatch.jobs.inbound import EndCall, TakeContact, TakeDigits, TakeHangup, TakeMessage, Taken, take
from src.dispatch.jobs.messages import (
    ConnectLine,
    KeepMedia,
    MoveMedia,
    MoveMessage,
    Posted,
    PostMessage,
    ReportTrouble,
    SendMessage,
    TakePulled,
    WantPull,
)
from src.dispatch.jobs.rosters import DeleteRoster, PutRoster
from src.dispatch.jobs.webhooks import (
    CURRENT,
    PREVIOUS,
    DeleteWebhook,
    DisableWebhook,
    KeepDeliveries,
    PutWebhook,
    Replay,
    RotateWebhook,
)
from src.dispatch.jobs.whole import ConfigureAll
from src.dispatch.jobs.work import (
    AgentView,
    Ask,
    Disconnected,
    OnAgent,
    OnAssignment,
    OnCollaboration,
    OnContact,
    Reconnect,
)

__all__ = [
    "CURRENT",
    "PREVIOUS",
    "AgentView",
    "Ask",
    "Configure",
    "ConfigureAll",
    "ConnectLine",
    "DeleteRoster",
    "DeleteWebhook",
    "DisableWebhook",
    "Disconnected",
    "EndCall",
    "FollowUp",
    "KeepDeliveries",
    "KeepMedia",
    "MoveMedia",
    "MoveMessage",
    "OnAgent",
    "OnAssignment",
    "OnCollaboration",
    "OnContact",
    "PostMessage",
    "Posted",
    "PutRoster",
    "PutWebhook",
    "Reconnect",
    "Remember",
    "Replay",
    "ReportTrouble",
    "RotateWebhook",
    "SendMessage",
    "TakeContact",
    "TakeDigits",
    "TakeHangup",
    "TakeMessage",
    "TakePulled",
    "Taken",
    "WantPull",
    "take",
]
