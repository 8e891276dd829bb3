"""A tenant's configuration: facts that decisions depend on, but that are no part of the folded state."""

from dataclasses import dataclass, field
from typing import Final

from src.router.model import (
    DEFAULT_QUEUE,
    AgentConfig,
    DepartmentConfig,
    PilotConfig,
    QueueConfig,
    RuleConfig,
    Settings,
    TagConfig,
)

TRIAL: Final = "trial"
CONTROL: Final = "control"


@dataclass(slots=True)
class Config:
    """Everything that a tenant has configured, by name."""

    agents: dict[str, AgentConfig] = field(default_factory=dict)
    queues: dict[str, QueueConfig] = field(default_factory=lambda: {DEFAULT_QUEUE: QueueConfig(DEFAULT_QUEUE)})
    tags: dict[str, TagConfig] = field(default_factory=dict)
    rules: dict[str, RuleConfig] = field(default_factory=dict)
    pilots: dict[str, PilotConfig] = field(default_factory=dict)
    departments: dict[str, DepartmentConfig] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)

    def trial(self, pilot: str | None) -> PilotConfig | None:
        """The pilot whose trial a contact is in; `pilot` as it stands on the contact: `name:trial`, `name:control`."""
        if pilot is None:
            return None
        name, _, arm = pilot.rpartition(":")
        return self.pilots.get(name) if arm == TRIAL else None

    def queue(self, name: str, pilot: str | None = None) -> QueueConfig:
        """A queue's policy, or its version in a pilot; the default one's where the queue is gone."""
        if pilot is not None:
            trial = self.trial(pilot)
            if trial is not None and name in trial.queues:
                return trial.queues[name]
        return self.queues.get(name) or self.queues[DEFAULT_QUEUE]
