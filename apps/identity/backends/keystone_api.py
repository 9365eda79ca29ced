"""Reads what Keystone's tables hold through its v3 API: the same rows as a dump has, but for the passwords."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

TIMEOUT_S = 30
MOST_PAGES = 100_000
_ROOT = "<<keystone.domain.root>>"


class ApiError(Exception):
    """What the other side refused or could not be reached for; the message names the address."""


class KeystoneApi:
    """A session of an administrator; `url` ends in `/v3`."""

    def __init__(self, url: str, *, ca_file: str = "") -> None:
        if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
            raise ApiError(f"{url} is no http or https address.")
        self.url = url.rstrip("/")
        self.context = ssl.create_default_context(cafile=ca_file or None) if url.startswith("https:") else None
        self.token = ""

    def sign_in(self, *, user: str, password: str, domain: str) -> None:
        """With the scope of the whole system, which may read everything. Raises ApiError."""
        who = {"name": user, "domain": {"name": domain}, "password": password}
        identity = {"methods": ["password"], "password": {"user": who}}
        body = {"auth": {"identity": identity, "scope": {"system": {"all": True}}}}
        _, headers = self._call("/auth/tokens", body)
        self.token = headers.get("X-Subject-Token", "")
        if not self.token:
            raise ApiError(f"{self.url} gave no token.")

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Every table of `keystone_dump` that the API shows. Raises ApiError."""
        domains = [{**one, "domain_id": _ROOT, "is_domain": True} for one in self._all("/domains", "domains")]
        users = list(self._all("/users", "users"))
        groups = list(self._all("/groups", "groups"))
        return {
            "project": [*map(_row, domains), *map(_row, self._all("/projects", "projects"))],
            "role": [_row(one) for one in self._all("/roles", "roles")],
            "implied_role": list(self._implied()),
            "user": [_row(one) for one in users],
            "local_user": [{"id": n, "user_id": u["id"], "name": u["name"]} for n, u in enumerate(users)],
            "group": [_row(one) for one in groups],
            "user_group_membership": [
                {"user_id": user["id"], "group_id": group["id"]}
                for group in groups
                for user in self._all(f"/groups/{urllib.parse.quote(group['id'])}/users", "users")
            ],
            "assignment": list(self._assignments()),
        }

    def _implied(self) -> Iterator[dict[str, Any]]:
        for one in self._all("/role_inferences", "role_inferences"):
            for implied in one["implies"]:
                yield {"prior_role_id": one["prior_role"]["id"], "implied_role_id": implied["id"]}

    def _assignments(self) -> Iterator[dict[str, Any]]:
        for one in self._all("/role_assignments", "role_assignments"):
            actor = "user" if "user" in one else "group"
            scope = next((word for word in ("project", "domain", "system") if word in one["scope"]), "")
            yield {
                "type": f"{actor.title()}{scope.title()}",
                "actor_id": one[actor]["id"],
                "target_id": "system" if scope == "system" else one["scope"].get(scope, {}).get("id"),
                "role_id": one["role"]["id"],
                "inherited": "OS-INHERIT:inherited_to" in one["scope"],
            }

    def _all(self, path: str, collection: str) -> Iterator[dict[str, Any]]:
        """Page by page; of the link to the next one only the query counts, its address may be one from inside."""
        query = ""
        for _ in range(MOST_PAGES):
            body, _headers = self._call(path + query)
            yield from body[collection]
            following = (body.get("links") or {}).get("next")
            if not following:
                return
            query = f"?{urllib.parse.urlsplit(following).query}"

    def _call(self, path: str, body: Any = None) -> tuple[Any, Mapping[str, str]]:
        url = self.url + path
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.token:
            headers["X-Auth-Token"] = self.token
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, headers=headers)  # noqa: S310 - http and https only
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=self.context) as answer:  # noqa: S310
                return json.loads(answer.read()), answer.headers
        except urllib.error.HTTPError as error:
            raise ApiError(f"{url} answered {error.code} {error.reason}.") from error
        except (OSError, ValueError) as error:
            raise ApiError(f"{url} does not answer as Keystone does: {error}") from error


def _row(one: Mapping[str, Any]) -> dict[str, Any]:
    """A member of the API as the table has it: what is no column stands in `extra`."""
    extra = {name: one[name] for name in ("email",) if one.get(name)}
    return {**one, "extra": json.dumps(extra)}
