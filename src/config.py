"""Settings, from the environment (prefix `CORDBOARD_`) and a `.env` file. Only `app/` and the commands read them."""

from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What an operator can set. Nothing is needed on the embedded default."""

    model_config = SettingsConfigDict(env_prefix="CORDBOARD_", env_file=".env", extra="ignore")

    host: str = Field(default="127.0.0.1", description="where to listen")
    port: int = Field(default=8000, ge=1, le=65535, description="where to listen")
    data_dir: Path = Field(default=Path(".cordboard"), description="the embedded database, and all else on disk")
    database_url: str = Field(default="", description="an existing PostgreSQL (14 or newer); empty: embedded")
    redis_url: str = Field(
        default="",
        description="an existing Redis (6.2 or newer), or Sentinels, through which processes tell each other",
    )
    internal_host: str = Field(default="127.0.0.1", description="where the other processes reach this one")
    internal_port: int = Field(default=0, ge=0, le=65535, description="the same; 0: any that is free")
    internal_address: str = Field(
        default="", description="the same as they see it (http://host:port); empty: worked out from the two"
    )
    drain_s: float = Field(
        default=0.0, ge=0, le=600, description="so long it goes on answering while /readyz says that it is leaving"
    )
    admin_key: SecretStr = Field(
        default=SecretStr(""), description="the first admin key of tenant `default`; empty: one is made"
    )
    secret_key: SecretStr = Field(default=SecretStr(""), description="seals secrets; embedded: made on first start")
    connector_networks: str = Field(
        default="",
        description="networks that are not public and that connectors may call all the same (10.1.0.0/16, ...)",
    )
    webhook_networks: str = Field(
        default="", description="networks that are not public and that webhooks may be posted to all the same"
    )
    voice_networks: str = Field(
        default="", description="networks that are not public and in which telephone systems are dialled all the same"
    )
    previous_secret_keys: SecretStr = Field(
        default=SecretStr(""), description="keys from before, with commas between: what they sealed is still opened"
    )
    key_requests_per_s: int = Field(
        default=5_000, ge=1, le=1_000_000, description="requests that one API key may make in each process"
    )
    tenant_requests_per_s: int = Field(
        default=10_000, ge=1, le=1_000_000, description="requests that one tenant may make in each process"
    )
    journal_keep_days: int = Field(
        default=0, ge=0, description="events older than this are archived and dropped, by the week; 0: all are kept"
    )
    archive_dir: Path | None = Field(
        default=None, description="where they are archived; embedded: `archive` in the data folder"
    )

    @field_validator("connector_networks", "webhook_networks", "voice_networks")
    @classmethod
    def _networks(cls, value: str) -> str:
        for each in value.split(","):
            if each.strip():
                ip_network(each.strip())
        return value

    otlp_endpoint: str = Field(
        default="", description="an OpenTelemetry collector (http://host:4318) that traces go to; empty: none are made"
    )
    log_format: Literal["", "text", "json"] = Field(default="", description="empty: text on a terminal, json otherwise")
