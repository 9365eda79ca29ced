"""Entry point of the live process. It does not load Django: see `apps.dashboard.live`."""

from apps.dashboard.live.application import Live
from cloud.config import load
from cloud.secrets import secret

_config = load()

application = Live(
    dsn={
        "host": _config.database.host,
        "port": _config.database.port,
        "dbname": _config.database.name,
        "user": _config.database.user,
        "password": secret(_config.secrets, "database_password"),
        "application_name": "kumo live",
    },
    secret=secret(_config.secrets, "django_secret_key"),
    origin=_config.public.url,
)
