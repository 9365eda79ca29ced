"""Kumo's one configuration file: every key with its type, default and meaning.

Read from the file named by `KUMO_CONFIG`, else `/etc/kumo/kumo.toml`, else `var/kumo.toml` of the checkout.
A wrong key or value stops the start with the key's name and what is allowed. The reference page of the
documentation is generated from this module.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from apps.identity.backends.ldap.options import Ldap

CHECKOUT = Path(__file__).resolve().parent.parent


class ConfigError(Exception):
    """The configuration cannot be used; the text names the key and says what is allowed."""


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file."""


class Public(Section, frozen=True, kw_only=True):
    """How clients reach this cloud."""

    url: Annotated[str, msgspec.Meta(description="Base of every address handed out, without a trailing slash.")] = (
        "http://127.0.0.1:8080"
    )
    s3_url: Annotated[
        str,
        msgspec.Meta(
            description="Base of S3 where it has a root of its own. Empty: `/s3` below `url`; some need a root."
        ),
    ] = ""
    region: Annotated[str, msgspec.Meta(description="Name of the one region in the catalogue.")] = "RegionOne"


class Database(Section, frozen=True, kw_only=True):
    """PostgreSQL, where the truth is kept."""

    host: Annotated[str, msgspec.Meta(description="Host name, address, or directory of a Unix socket.")] = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(description="Port.", ge=1, le=65535)] = 5432
    name: Annotated[str, msgspec.Meta(description="Name of the database.", min_length=1)] = "kumo"
    user: Annotated[str, msgspec.Meta(description="Role to connect as.", min_length=1)] = "kumo"


class Pools(Section, frozen=True, kw_only=True):
    """Processes that serve requests. Each has about 90 MiB and runs Python on one processor at a time."""

    web_processes: Annotated[int, msgspec.Meta(description="For pages and API calls.", ge=1, le=64)] = 1
    bytes_processes: Annotated[int, msgspec.Meta(description="For images' and objects' bytes.", ge=1, le=64)] = 1


class Broker(Section, frozen=True, kw_only=True):
    """Redis or RabbitMQ, which ring doorbells and hold no truth."""

    url: Annotated[
        str,
        msgspec.Meta(
            description="`redis://…`, `rediss://…`, `amqp://…` or `amqps://…`, without user and password: "
            "these come from the secrets' directory.",
            pattern=r"^(redis|rediss|amqp|amqps)://",
        ),
    ] = "redis://127.0.0.1:6379/0"
    management_url: Annotated[
        str,
        msgspec.Meta(
            description="RabbitMQ's management API, which makes the accounts of hosts. "
            "Empty: port 15672 of the broker's machine."
        ),
    ] = ""


class Ovn(Section, frozen=True, kw_only=True):
    """OVN, which the network database is projected into."""

    northbound: Annotated[
        str, msgspec.Meta(description="Northbound database: `tcp:ADDRESS:PORT`, `ssl:…` or `unix:PATH`.")
    ] = "tcp:127.0.0.1:6641"
    physical_networks: Annotated[
        tuple[str, ...], msgspec.Meta(description="Names that hosts map to bridges; for provider networks.")
    ] = ("physnet1",)
    underlay_mtu: Annotated[
        int, msgspec.Meta(description="MTU between hosts; tenants get 58 bytes less.", ge=1280, le=65535)
    ] = 1500


class Paths(Section, frozen=True, kw_only=True):
    """Where files are."""

    state: Annotated[str, msgspec.Meta(description="State directory; absolute.")] = str(CHECKOUT / "var")
    secrets: Annotated[
        str,
        msgspec.Meta(description="Directory of secrets, mode 0700. Empty: `secrets` in the state directory."),
    ] = ""
    images: Annotated[
        str, msgspec.Meta(description="Where image files are kept. Empty: `images` in the state directory.")
    ] = ""
    policy: Annotated[str, msgspec.Meta(description="A `policy.yaml` with overrides. Empty: the defaults hold.")] = ""


class Identity(Section, frozen=True, kw_only=True):
    """Tokens and passwords."""

    token_hours: Annotated[int, msgspec.Meta(description="How long a token lives.", ge=1, le=720)] = 12
    lockout_failures: Annotated[
        int, msgspec.Meta(description="Wrong passwords in a row that lock a user. 0: never.", ge=0, le=1000)
    ] = 0
    lockout_seconds: Annotated[
        int, msgspec.Meta(description="How long a user stays locked after the last wrong password.", ge=1)
    ] = 1800
    unique_last_passwords: Annotated[
        int,
        msgspec.Meta(
            description="How many last passwords, the present one included, users cannot choose again. 0: no check.",
            ge=0,
            le=24,
        ),
    ] = 1
    password_regex: Annotated[
        str, msgspec.Meta(description="Pattern that users' new passwords must match. Empty: any password.")
    ] = ""
    password_regex_description: Annotated[
        str, msgspec.Meta(description="The pattern in words, told to who chooses a password that does not match.")
    ] = ""
    password_expires_days: Annotated[
        int, msgspec.Meta(description="How long a password holds. 0: for ever.", ge=0, le=3650)
    ] = 0
    minimum_password_age_days: Annotated[
        int, msgspec.Meta(description="How long users keep a password they chose. 0: no minimum.", ge=0, le=3650)
    ] = 0
    change_password_upon_first_use: Annotated[
        bool, msgspec.Meta(description="Whether a password set by an administrator must be changed before it is used.")
    ] = False
    inactive_days: Annotated[
        int, msgspec.Meta(description="Users who did not sign in for so many days are disabled. 0: never.", ge=0)
    ] = 0
    token_provider: Annotated[
        Literal["fernet", "jws"],
        msgspec.Meta(description="Form of new tokens: `fernet` is short, `jws` is signed JSON that others can read."),
    ] = "fernet"
    allow_expired_hours: Annotated[
        int,
        msgspec.Meta(description="How long services may still look at an expired token for work under way.", ge=0),
    ] = 48
    receipt_minutes: Annotated[
        int, msgspec.Meta(description="How long the receipt of one factor waits for the others.", ge=1, le=1440)
    ] = 5
    totp_previous_windows: Annotated[
        int, msgspec.Meta(description="How many former 30-second codes of an authenticator are taken.", ge=0, le=10)
    ] = 1
    max_trust_redelegations: Annotated[
        int, msgspec.Meta(description="How often a trust can be lent on.", ge=0, le=100)
    ] = 3
    oauth_request_hours: Annotated[
        int, msgspec.Meta(description="How long an OAuth request token waits for its user. 0: for ever.", ge=0)
    ] = 8
    oauth_access_hours: Annotated[
        int, msgspec.Meta(description="How long an OAuth access token holds. 0: for ever.", ge=0)
    ] = 24
    ec2_signature_minutes: Annotated[
        int, msgspec.Meta(description="How old a signature by an EC2 credential may be.", ge=1, le=1440)
    ] = 15
    max_credentials_per_user: Annotated[
        int, msgspec.Meta(description="Most credentials of one user. 0: no bound.", ge=0)
    ] = 0
    limits_model: Annotated[
        Literal["flat", "strict_two_level"],
        msgspec.Meta(
            description="`flat`: each project has its own limits. `strict_two_level`: a domain's limit also bounds "
            "all its projects together, and projects have none below them."
        ),
    ] = "flat"
    max_project_depth: Annotated[
        int, msgspec.Meta(description="How many projects may be above each other in a domain.", ge=1, le=100)
    ] = 5
    bootstrap_password_file: Annotated[
        str, msgspec.Meta(description="File with the first administrator's password, read once.")
    ] = ""
    directories: Annotated[
        dict[str, Ldap],
        msgspec.Meta(
            description="LDAP directories by the name of the domain they hold; see below. "
            "What the API configures for a domain takes precedence."
        ),
    ] = {}
    trusted_dashboards: Annotated[
        tuple[str, ...],
        msgspec.Meta(description="Whole addresses that `websso` brings tokens to, such as Horizon's `/auth/websso/`."),
    ] = ()
    directory_refresh_seconds: Annotated[
        int,
        msgspec.Meta(
            description="How often users and groups of directories are read again, so that who left loses access.",
            ge=30,
        ),
    ] = 300

    def __post_init__(self) -> None:
        try:
            re.compile(self.password_regex)
        except re.error as error:
            raise ValueError(f"password_regex is not a regular expression: {error}") from error


class Image(Section, frozen=True, kw_only=True):
    """Image service."""

    max_size_gib: Annotated[int, msgspec.Meta(description="Largest image that is taken.", ge=1, le=10_000)] = 100


class Objectstore(Section, frozen=True, kw_only=True):
    """Object store. The storage policies are in `drivers.object_store`, disks are added by `manage.py object disks`."""

    verify_reads: Annotated[
        bool,
        msgspec.Meta(
            description="Check every MiB before it leaves; if false, the auditor alone checks, and nginx sends "
            "copies on disks by itself."
        ),
    ] = True
    audit_mib_per_s: Annotated[
        int, msgspec.Meta(description="How fast the auditor reads all copies. 0: no audit.", ge=0, le=100_000)
    ] = 8
    grace_minutes: Annotated[
        int, msgspec.Meta(description="How long bytes stay that no object names any more.", ge=1, le=10_080)
    ] = 60
    pages_host: Annotated[
        str,
        msgspec.Meta(
            description="Host name under which pages that users publish may run scripts, each in an origin of its own. "
            "A name of its own, where nobody signs in. Empty: such pages run none.",
            pattern=r"^([A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*)?$",
        ),
    ] = ""
    account_ratelimit: Annotated[
        float, msgspec.Meta(description="Containers of an account made or removed a second. 0: any number.", ge=0)
    ] = 0.0
    container_ratelimits: Annotated[
        tuple[tuple[int, float], ...],
        msgspec.Meta(
            description="Writes of objects a second in a container: `[[objects, rate], …]` in rising order, with the "
            "rates between on a line. Empty: any number."
        ),
    ] = ()
    container_listing_ratelimits: Annotated[
        tuple[tuple[int, float], ...], msgspec.Meta(description="The same of listings of a container.")
    ] = ()
    cross_domain_policy: Annotated[str, msgspec.Meta(description="What `crossdomain.xml` allows.")] = (
        '<allow-access-from domain="*" secure="false" />'
    )
    s3_website_domains: Annotated[
        tuple[str, ...],
        msgspec.Meta(
            description="Names, in lower case, under which the S3 port shows buckets as web sites, each with the "
            "bucket's name before it. Names of their own, where nobody signs in. Empty: buckets are no web sites."
        ),
    ] = ()
    s3_domains: Annotated[
        tuple[str, ...],
        msgspec.Meta(
            description="Names under which clients reach the S3 port, in lower case; each may have a bucket's name "
            "before it, as in `photos.s3.localhost`."
        ),
    ] = ("s3.localhost",)


class Compute(Section, frozen=True, kw_only=True):
    """Compute service."""

    cpu_overcommit: Annotated[float, msgspec.Meta(description="Virtual CPUs per CPU of a host.", ge=0.1, le=64)] = 4.0
    ram_overcommit: Annotated[float, msgspec.Meta(description="Guest memory per memory of a host.", ge=0.1, le=8)] = 1.0
    reserved_ram_mib: Annotated[int, msgspec.Meta(description="Memory of a host kept from guests.", ge=0)] = 512
    repair_guests: Annotated[
        bool, msgspec.Meta(description="Make a guest anew that vanished from its host; if false, it gets a fault.")
    ] = True


class Audit(Section, frozen=True, kw_only=True):
    """The log of who changed what."""

    keep_months: Annotated[
        int, msgspec.Meta(description="Whole months that events are kept after the present one.", ge=1, le=600)
    ] = 24
    refusals: Annotated[
        int,
        msgspec.Meta(
            description="Refusals of one kind to one caller that are events of their own in an hour; one event tells "
            "how many there were besides.",
            ge=1,
            le=100_000,
        ),
    ] = 20


class Security(Section, frozen=True, kw_only=True):
    """Sign-in and web."""

    secure_cookies: Annotated[
        bool, msgspec.Meta(description="Cookies over TLS only; true whenever the public URL is https.")
    ] = False
    sign_in_failures: Annotated[
        int, msgspec.Meta(description="Refused sign-ins of one account until it has to wait. 0: no bound.", ge=0)
    ] = 10
    sign_in_failures_of_address: Annotated[
        int, msgspec.Meta(description="The same for all accounts from one address (IPv6: one /64).", ge=0)
    ] = 100
    sign_in_window_seconds: Annotated[
        int, msgspec.Meta(description="How long refused sign-ins count, and how long the wait is at most.", ge=1)
    ] = 300


class Mail(Section, frozen=True, kw_only=True):
    """The SMTP server that mail to users goes through. Without one, nobody can reset a password by mail."""

    host: Annotated[str, msgspec.Meta(description="Its name or address. Empty: no mail is sent.")] = ""
    port: Annotated[int, msgspec.Meta(description="Port.", ge=1, le=65535)] = 25
    security: Annotated[
        Literal["none", "starttls", "tls"], msgspec.Meta(description="How the connection is encrypted.")
    ] = "none"
    user: Annotated[
        str, msgspec.Meta(description="Name to sign in with; the password is the secret `mail_password`.")
    ] = ""
    sender: Annotated[str, msgspec.Meta(description="Address that mail comes from.")] = "kumo@localhost"
    reset_minutes: Annotated[
        int, msgspec.Meta(description="How long an address to choose a new password is good.", ge=5, le=1440)
    ] = 30


class Logging(Section, frozen=True, kw_only=True):
    """Logs go to standard error, one JSON object a line."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], msgspec.Meta(description="Least level that is written.")
    ] = "info"


class Config(Section, frozen=True, kw_only=True):
    """The whole file."""

    public: Public = Public()
    database: Database = Database()
    pools: Pools = Pools()
    broker: Broker = Broker()
    ovn: Ovn = Ovn()
    paths: Paths = Paths()
    identity: Identity = Identity()
    image: Image = Image()
    objectstore: Objectstore = Objectstore()
    compute: Compute = Compute()
    audit: Audit = Audit()
    security: Security = Security()
    mail: Mail = Mail()
    logging: Logging = Logging()
    drivers: Annotated[
        dict[str, dict[str, dict[str, Any]]],
        msgspec.Meta(description="Drivers by family and key: `BACKEND` and `OPTIONS`; see the drivers page."),
    ] = {}

    @property
    def state(self) -> Path:
        return Path(self.paths.state)

    @property
    def secrets(self) -> Path:
        return Path(self.paths.secrets) if self.paths.secrets else self.state / "secrets"

    @property
    def images(self) -> Path:
        return Path(self.paths.images) if self.paths.images else self.state / "images"


def config_path() -> Path | None:
    """The file in force, or None where none exists and defaults hold."""
    named = os.environ.get("KUMO_CONFIG")
    if named:
        return Path(named)
    return next((p for p in (Path("/etc/kumo/kumo.toml"), CHECKOUT / "var/kumo.toml") if p.exists()), None)


def load(path: Path | None = None) -> Config:
    """Read and check the configuration. Raises ConfigError, naming file and key."""
    path = path or config_path()
    if path is None:
        return Config()
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), Config)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}".replace("`$.", "`")) from error
