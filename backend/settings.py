"""Settings; the only reader of the environment."""

from __future__ import annotations

import os
import tempfile
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

import platformdirs
from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class WebhookAuth(StrEnum):
    """Who may send events."""

    AUTO = "auto"
    BASIC = "basic"
    TOKEN = "token"  # noqa: S105 - a mode, not a secret
    OFF = "off"


class LogFormat(StrEnum):
    """How log lines look."""

    AUTO = "auto"
    """Console lines on a terminal, JSON elsewhere."""
    JSON = "json"
    CONSOLE = "console"


class Device(StrEnum):
    """What computes."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Settings(BaseSettings):
    """Everything that can be set, read from TANDEM_<NAME> unless a field names another variable.

    The variables that Label Studio users know keep their names: PORT, DATABASE_URL, REDIS_URL, BASIC_AUTH_USER,
    BASIC_AUTH_PASS, WEBHOOK_AUTH, WEBHOOK_TOKEN, LABEL_STUDIO_URL, LABEL_STUDIO_API_KEY, LOCAL_FILES_DOCUMENT_ROOT.
    """

    model_config = SettingsConfigDict(env_prefix="TANDEM_", populate_by_name=True, frozen=True, extra="forbid")

    home: Path = Field(default_factory=lambda: platformdirs.user_data_path("tandem"))
    """Everything that is stored, unless the next two say otherwise."""
    database_url: str = Field("", validation_alias=AliasChoices("database_url", "DATABASE_URL"))
    """SQLAlchemy URL; SQLite under `home` when empty."""
    redis_url: str = Field("", validation_alias=AliasChoices("redis_url", "REDIS_URL"))
    """redis:// or unix:// URL; `tandem up` starts a private Redis under `home` when empty."""

    host: str = "0.0.0.0"  # noqa: S104 - Label Studio often runs in a container and must reach us
    port: int = Field(9090, validation_alias=AliasChoices("port", "PORT"), ge=0, le=65535)
    rest_port: int | None = Field(None, validation_alias=AliasChoices("rest_port", "REST_PORT"), ge=1, le=65535)
    """A second port with the same answers."""
    web_workers: int = Field(0, ge=0)
    """Web processes; 0: one per core, at most 4."""
    web_threads: int = Field(24, ge=4)
    """Threads of a web process; predictions take at most half of them, so that health checks always find one."""
    max_body_bytes: int = 300 * 2**20

    basic_auth_user: str = Field("", validation_alias=AliasChoices("basic_auth_user", "BASIC_AUTH_USER"))
    basic_auth_pass: SecretStr = Field(
        SecretStr(""), validation_alias=AliasChoices("basic_auth_pass", "BASIC_AUTH_PASS")
    )
    webhook_auth: WebhookAuth = Field(WebhookAuth.AUTO, validation_alias=AliasChoices("webhook_auth", "WEBHOOK_AUTH"))
    webhook_token: SecretStr = Field(SecretStr(""), validation_alias=AliasChoices("webhook_token", "WEBHOOK_TOKEN"))

    label_studio_url: str = Field(
        "", validation_alias=AliasChoices("label_studio_url", "LABEL_STUDIO_URL", "LABEL_STUDIO_HOST")
    )
    label_studio_api_key: SecretStr = Field(
        SecretStr(""),
        validation_alias=AliasChoices("label_studio_api_key", "LABEL_STUDIO_API_KEY", "LABEL_STUDIO_ACCESS_TOKEN"),
    )
    verify_tls: bool = Field(True, validation_alias=AliasChoices("verify_tls", "VERIFY_SSL"))
    local_files_root: Path | None = Field(
        None, validation_alias=AliasChoices("local_files_root", "LOCAL_FILES_DOCUMENT_ROOT")
    )
    allow_local_fetch: bool = Field(False, validation_alias=AliasChoices("allow_local_fetch", "ALLOW_LOCAL_FETCH"))
    """Whether images may be fetched from private addresses other than Label Studio's own."""
    media_cache_bytes: int = 10 * 2**30
    max_media_bytes: int = 200 * 2**20

    device: Device = Device.AUTO
    weights: Path | None = None
    """Folder with pretrained weights; `home`/weights when empty."""
    engine_bytes: int = 2 * 2**30
    """How much memory loaded models may take in a web process."""
    click_cache_bytes: int = 512 * 2**20
    """How much memory the images that annotators click on may take in a web process."""
    predict_timeout_s: float = 90.0
    """Label Studio gives up after 100 s."""

    train_every: int = Field(20, ge=0)
    """A run follows when so many annotations changed since the last one; 0: only when somebody asks."""
    train_quiet_s: float = Field(5.0, ge=0)
    """… and none has come for this long …"""
    train_wait_s: float = Field(60.0, ge=0)
    """… or this long after the first of them, whatever comes."""
    train_within_s: float | None = Field(None, gt=0)
    """A run is planned to take about so long on two quiet cores; None: as long as its family thinks best."""
    heartbeat_s: float = 3.0
    """How often work in progress says that it is alive."""
    lost_after_s: float = 10.0
    """Work that has been silent for this long has lost its process and is taken up again."""
    run_timeout_s: float = 24 * 3600.0

    base_url: str = ""
    """Where people and agents reach this server, without a slash at the end; "": as each request says."""
    cors_origins: str = ""
    """Web pages that may call the agents' APIs: origins, separated by commas."""
    mcp_toolsets: str = "core"
    """Which groups of tools MCP clients see unless their URL says otherwise: names, separated by commas, or all."""
    mcp_allowed_hosts: str = Field("", validation_alias=AliasChoices("mcp_allowed_hosts", "MCP_ALLOWED_HOSTS"))
    """Names, with or without a port, by which MCP clients may call this server; "": any, since all need a key."""
    mcp_allowed_origins: str = Field("", validation_alias=AliasChoices("mcp_allowed_origins", "MCP_ALLOWED_ORIGINS"))
    """Web pages that may speak MCP, beyond those of `cors_origins`."""
    bootstrap_key: SecretStr = SecretStr("")
    """An API key of the first user, who is made with it where there is nobody yet; later it means nothing."""
    bootstrap_user: str = "admin@localhost"
    """The email address of that user."""
    token_minutes: int = Field(60, gt=0)
    """Minutes of a trainer that one token pays for."""
    token_allowance: int | None = Field(None, ge=0)
    """Tokens a month of a new workspace; None: as many as wanted."""
    block_local_ip: bool = Field(False, validation_alias=AliasChoices("block_local_ip", "ML_BLOCK_LOCAL_IP"))
    """Whether registered ML backends must not have private addresses."""

    log_format: LogFormat = LogFormat.AUTO
    log_level: str = "INFO"

    @property
    def database(self) -> str:
        """The database URL in effect."""
        url = self.database_url or f"sqlite:///{self.home / 'tandem.sqlite3'}"
        for plain in ("postgres://", "postgresql://"):
            if url.startswith(plain):
                return "postgresql+psycopg://" + url.removeprefix(plain)
        return url

    @property
    def redis(self) -> str:
        """The Redis URL in effect."""
        return self.redis_url or f"unix://{self.redis_socket}"

    @property
    def redis_socket(self) -> Path:
        """Where the private Redis listens; a socket's path is limited to about 100 characters."""
        inside = self.home / "redis" / "redis.sock"
        if len(str(inside).encode()) <= 100:
            return inside
        return Path(tempfile.gettempdir()) / f"tandem-{os.getuid()}" / f"{_hash_name(str(self.home))}.sock"

    @property
    def weights_folder(self) -> Path:
        """Where pretrained weights are looked for first."""
        return self.weights or self.home / "weights"

    @property
    def device_name(self) -> str:
        """What computes here: "cpu" or "cuda"; found out without loading anything that talks to a GPU."""
        if self.device is not Device.AUTO:
            return self.device.value
        return "cuda" if any(Path(node).exists() for node in ("/dev/nvidiactl", "/dev/dxg")) else "cpu"

    @property
    def has_basic_auth(self) -> bool:
        """Whether callers must say a user and a password."""
        return bool(self.basic_auth_user or self.basic_auth_pass.get_secret_value())


def _hash_name(text: str) -> str:
    """Return a short name that stands for a text."""
    return sha256(text.encode()).hexdigest()[:16]
