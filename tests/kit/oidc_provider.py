"""A real OpenID Connect provider (Canaille) on loopback: it signs ID tokens by RS256, and knows passwords and users."""

from __future__ import annotations

import datetime
import os
import socket
import threading
import uuid
import wsgiref.simple_server
from typing import Any

from canaille import create_app
from canaille.app import models
from canaille.app.session import UserSession
from canaille.backends import Backend
from flask import g
from joserfc.jwk import RSAKey

CLIENT_ID, CLIENT_SECRET = "kumo", "client-secret"


class _Quiet(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *_: Any) -> None: ...


class Provider:
    """The provider, serving in a thread. `browser_of` names the user whose browser comes next."""

    def __init__(self) -> None:
        os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # the provider's own wish for TLS; ours is not asked
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.issuer = f"http://localhost:{port}"
        self.key = RSAKey.generate_key(2048, {"kid": "first", "use": "sig", "alg": "RS256"})
        self.app = create_app(config=self._config(port))
        self.browser_of: Any = None
        self.people: dict[str, Any] = {}
        self.app.before_request(self._signed_in)
        self._server = wsgiref.simple_server.make_server("127.0.0.1", port, self.app, handler_class=_Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def _config(self, port: int) -> dict[str, Any]:
        return {
            "TESTING": True,
            "ENV_FILE": None,
            "SECRET_KEY": str(uuid.uuid4()),
            "WTF_CSRF_ENABLED": False,
            "PREFERRED_URL_SCHEME": "http",
            "SERVER_NAME": f"localhost:{port}",
            "CANAILLE": {
                "DATABASE": "memory",
                "JAVASCRIPT": False,
                "ACL": {"DEFAULT": {"PERMISSIONS": ["use_oidc"]}},
            },
            "CANAILLE_OIDC": {"ISSUER": self.issuer, "ACTIVE_JWKS": [self.key.as_dict(private=True)]},
        }

    def _signed_in(self) -> None:
        """The person at the browser has signed in at the provider before."""
        if self.browser_of is not None:
            now = datetime.datetime.now(datetime.UTC)
            g.session = UserSession(user=self.browser_of, last_login_datetime=now)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def forget(self) -> None:
        """Nobody is at a browser, and codes that were not used are void: the store in memory mixes them up."""
        self.browser_of = None
        with self.app.app_context():
            for code in Backend.instance.query(models.AuthorizationCode):
                Backend.instance.delete(code)

    def add_user(self, name: str, password: str, **facts: Any) -> None:
        """A person with a password; `groups` are made as needed."""
        with self.app.app_context():
            groups = facts.pop("groups", ())
            user = models.User(user_name=name, password=password, emails=[f"{name}@example.org"], **facts)
            Backend.instance.save(user)
            for group in groups:
                made = Backend.instance.get(models.Group, display_name=group) or models.Group(display_name=group)
                made.members = [*(made.members or ()), user]
                Backend.instance.save(made)
            self.people[name] = user

    def add_client(self, client_id: str, secret: str, redirect_uris: list[str]) -> None:
        """An application that may ask who somebody is."""
        with self.app.app_context():
            client = models.Client(
                client_id=client_id,
                client_secret=secret,
                client_name=client_id,
                client_uri="http://localhost",
                redirect_uris=redirect_uris,
                token_endpoint_auth_method="client_secret_basic",
                grant_types=["authorization_code", "password"],
                response_types=["code"],
                scope=["openid", "profile", "email", "groups"],
                contacts=[],
            )
            Backend.instance.save(client)
            client.audience = [client]
            Backend.instance.save(client)
