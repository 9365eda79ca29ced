"""Settings of a running cloud."""

from __future__ import annotations

import os

from cloud.config import CHECKOUT, Config, load
from cloud.secrets import secret

CONFIG: Config = load()

SECRET_KEY = secret(CONFIG.secrets, "django_secret_key")
KUMO_MASTER_KEY = secret(CONFIG.secrets, "master_key")  # wraps the keys that are kept in the database
DEBUG = False
ALLOWED_HOSTS = ["*"]  # nginx decides which names are served
USE_X_FORWARDED_HOST = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

INSTALLED_APPS = [
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "apps.operations",
    "apps.audit",
    "apps.hosts",
    "apps.identity",
    "apps.objectstore",
    "apps.image",
    "apps.network",
    "apps.compute",
    "apps.dashboard",
]

MIDDLEWARE = [
    "apps.core.api.middleware.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "apps.core.web.middleware.WebOnlyMiddleware",
]
# Sessions, language and CSRF belong to pages; the API prefixes never see a cookie.
KUMO_WEB_MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "apps.core.web.middleware.ErrorsMiddleware",
    "apps.dashboard.web.middleware.PersonMiddleware",
]

ROOT_URLCONF = "cloud.urls"
WSGI_APPLICATION = "cloud.wsgi.application"
ASGI_APPLICATION = "cloud.asgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [CHECKOUT / "templates"],
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.messages.context_processors.messages",
            ],
            "libraries": {"operations": "apps.operations.web.tags"},
            "builtins": ["django.templatetags.i18n", "django.templatetags.static", "apps.core.web.tags"],
        },
    }
]

# The control worker sets more: sagas may take longer than a page.
STATEMENT_TIMEOUT_S = int(os.environ.get("KUMO_STATEMENT_TIMEOUT_S", "5"))
DATABASES = {
    "default": {
        "ENGINE": "apps.core.postgresql",
        "HOST": CONFIG.database.host,
        "PORT": CONFIG.database.port,
        "NAME": CONFIG.database.name,
        "USER": CONFIG.database.user,
        "PASSWORD": secret(CONFIG.secrets, "database_password"),
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "connect_timeout": 3,
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_S}s -c lock_timeout=2s "
            "-c idle_in_transaction_session_timeout=10s",
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["apps.core.api.rendering.JsonRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "apps.core.api.rendering.JsonAlways",
    "DEFAULT_PARSER_CLASSES": ["apps.core.api.rendering.JsonParser"],
    "EXCEPTION_HANDLER": "apps.core.api.faults.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "UNAUTHENTICATED_TOKEN": None,
}
# argon2id as OWASP's password storage cheat sheet has it: two passes over 19 MiB, one lane.
KUMO_PASSWORD_COST = {"time_cost": 2, "memory_cost": 19 * 1024, "parallelism": 1}
# Identity's authenticator, loaded by the API kernel, which must not import an app.
KUMO_AUTHENTICATION = "apps.identity.api.authentication.TokenAuthentication"
# Where services leave their events; likewise.
KUMO_AUDIT = "apps.audit.services.Journal"
# Who a host is, by its client certificate; likewise.
KUMO_HOST_OF_REQUEST = "apps.hosts.selectors.host_of_request"
DATA_UPLOAD_MAX_MEMORY_SIZE = 8 * 1024 * 1024

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ja", "日本語")]
LOCALE_PATHS = [CHECKOUT / "locale"]

STATIC_URL = "/static/"
STATIC_ROOT = CONFIG.state / "static"
STATICFILES_DIRS = [CHECKOUT / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    # Hashed names, so that nginx may let browsers keep them; `collectstatic` makes them.
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
}
SESSION_ENGINE = "apps.dashboard.store"
SESSION_COOKIE_NAME = "kumo_session"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = CONFIG.security.secure_cookies or CONFIG.public.url.startswith("https://")
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = LANGUAGE_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = LANGUAGE_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600
SECURE_CROSS_ORIGIN_OPENER_POLICY = None  # pages set it where browsers heed it, over TLS
CSRF_COOKIE_NAME = "kumo_csrf"
LANGUAGE_COOKIE_NAME = "kumo_language"
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600

# Where each process keeps what it counts; read by the library when it is imported.
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(CONFIG.state / "metrics")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "apps.core.logs.JsonFormatter"}},
    "handlers": {"stderr": {"class": "apps.core.logs.LineHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": CONFIG.logging.level.upper()},
}

# Whether threads that serve small requests keep to one processor: worth it where very many come at once.
KUMO_KEEPS_TOGETHER = False

# How the operation engine reaches workers.
KUMO_DOORBELL = "apps.operations.broker.CeleryDoorbell"

# Drivers by family and key; the operator's tables in kumo.toml add entries to families or replace them.
_BUILT_IN = {
    "hypervisor": {"default": {"BACKEND": "libvirt", "OPTIONS": {}}},
    "network": {"default": {"BACKEND": "ovn", "OPTIONS": {}}},
    "image_store": {"default": {"BACKEND": "filesystem", "OPTIONS": {}}},
    "object_store": {"default": {"BACKEND": "disks", "OPTIONS": {}}},  # keys are the storage policies
}
KUMO_DRIVERS = {
    family: _BUILT_IN.get(family, {}) | CONFIG.drivers.get(family, {}) for family in _BUILT_IN | CONFIG.drivers
}
