"""Configuration as it is kept, and as the engine takes it: one body of JSON for each agent, queue, tag and rule."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from src.dispatch.ports import ConfigFact
from src.router.board import Config
from src.router.model import (
    AgentConfig,
    ChannelLimit,
    QueueConfig,
    RuleConfig,
    Settings,
    TagConfig,
)

SETTINGS_NAME: Final = "settings"


def agent_config(name: str, body: Mapping[str, Any]) -> AgentConfig:
    """The engine's form of an agent's body."""
    channels = body.get("channels")
    return AgentConfig(
        id=name,
        name=body.get("name") or "",
        skills=dict(body["skills"]),
        languages=tuple(body["languages"]),
        capacity=body["capacity"],
        channels=None
        if channels is None
        else {channel: ChannelLimit(limit["cost"], limit["max"]) for channel, limit in channels.items()},
        teams=tuple(body["teams"]),
    )


def queue_config(name: str, body: Mapping[str, Any]) -> QueueConfig:
    """The engine's form of a queue's body."""
    return QueueConfig(
        name=name,
        within_s=body["service_level"]["within_s"],
        percent=body["service_level"]["percent"],
        offer_timeout_s=body["offer_timeout_s"],
        wrap_up_s=body["wrap_up_s"],
        reoffer_after_s=body["reoffer_after_s"],
        teams=tuple(body["teams"]),
    )


def tag_config(name: str, body: Mapping[str, Any]) -> TagConfig:
    """The engine's form of a tag's body; keywords of all languages are one list."""
    return TagConfig(
        name=name,
        keywords=tuple(each for words in body["keywords"].values() for each in words),
        except_=tuple(body["except"]),
        requires=dict(body["requires"]),
    )


def rule_config(name: str, body: Mapping[str, Any]) -> RuleConfig:
    """The engine's form of a rule's body."""
    when, then = body["when"], body["then"]
    return RuleConfig(
        name=name,
        order=body["order"],
        tags_any=tuple(when["tags_any"]),
        channels=tuple(when["channels"]),
        customer_tiers=tuple(when["customer_tiers"]),
        queue=then["queue"],
        priority=then["priority"],
        add_tags=tuple(then["add_tags"]),
    )


def settings_config(_name: str, body: Mapping[str, Any]) -> Settings:
    """The engine's form of the tenant's settings."""
    return Settings(
        presence_grace_s=body["presence_grace_s"],
        on_agent_lost=dict(body["on_agent_lost"]),
        missed_offers_max=body["missed_offers_max"],
        reoffer_after_s=body["reoffer_after_s"],
        default_region=body["default_region"],
    )


def engine_config(facts: Iterable[ConfigFact]) -> Config:
    """Everything that a tenant has configured, as the engine takes it."""
    config = Config()
    for fact in facts:
        assert fact.body is not None
        match fact.kind:
            case "agent":
                config.agents[fact.name] = agent_config(fact.name, fact.body)
            case "queue":
                config.queues[fact.name] = queue_config(fact.name, fact.body)
            case "tag":
                config.tags[fact.name] = tag_config(fact.name, fact.body)
            case "rule":
                config.rules[fact.name] = rule_config(fact.name, fact.body)
            case "settings":
                config.settings = settings_config(fact.name, fact.body)
            case other:
                raise AssertionError(f"configuration of an unknown kind: {other}")
    return config
