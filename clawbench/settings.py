"""Settings: the only reader of the environment (``CLAWBENCH_*``, and ``DATABASE_URL``)."""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """One process's configuration; every field can be set as ``CLAWBENCH_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="CLAWBENCH_", frozen=True, populate_by_name=True)

    host: str = "127.0.0.1"
    port: int = 8100
    public_url: str | None = None
    """What clients call this server; None: ``http://host:port``. Tokens are bound to ``<public_url>/mcp``."""

    allowed_hosts: tuple[str, ...] = ()
    """Further ``Host`` values that /mcp answers to, as JSON (``["bench.example:*"]``); its own names always count."""

    data_dir: Path = Path("var")
    """Embedded Postgres, artifacts, imported tasks and keys live below it."""

    database_url: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("database_url", "CLAWBENCH_DATABASE_URL", "DATABASE_URL")
    )
    """Any Postgres 16+. None: an embedded one below ``data_dir``."""

    artifact_url: str | None = None
    """Where artifacts are kept: any URL that obstore takes (``s3://…``). None: a directory below ``data_dir``."""

    provider: str = "docker"
    """The sandbox provider that new runs use."""
    local_work: bool = True
    """Whether this server makes and uses sandboxes itself; false leaves all of it to ``clawbench worker``."""

    requests_at_once: int = 512
    """Requests that this server works on at the same time; more are answered 429. ``/health`` is not counted."""
    requests_at_once_per_user: int = 128
    """Requests to ``/mcp`` of one user, likewise."""

    runs_at_once: int = 4
    """Unfinished runs that one agent may have."""
    runs_at_once_per_user: int = 16
    """Unfinished runs that all agents of one user may have together."""
    runs_a_day: int = 200
    """Runs that one agent may begin in 24 hours."""
    calls_per_run: int = 1000
    calls_in_flight: int = 4
    """Calls of one run that may act in its sandbox at the same time."""
    output_bytes_per_run: int = 50 * 1024 * 1024
    wall_s_per_run: int = 7200
    """No task gets longer than this, whatever it asks for."""

    oidc_issuer: str | None = None
    """An OpenID issuer, or https://github.com, whose accounts may sign in beside local ones. None: local ones only."""
    oidc_client_id: str | None = None
    """This server as the issuer knows it; its redirect URI there is ``<public_url>/sign-in/callback``."""
    oidc_client_secret: SecretStr | None = None
    """None: a public client, proved by PKCE alone."""
    oidc_name: str | None = None
    """What the sign-in page calls the issuer. None: its host."""

    @property
    def artifacts(self) -> str:
        """The URL of the artifact store."""
        return self.artifact_url or f"file://{self.data_dir.resolve()}/artifacts"

    @property
    def origin(self) -> str:
        """Scheme, host and port as clients see them, without a trailing slash."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def resource(self) -> str:
        """The OAuth resource (audience) that access tokens are bound to."""
        return f"{self.origin}/mcp"
