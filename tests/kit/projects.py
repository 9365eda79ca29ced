"""Projects without users behind them, and callers who have roles there: enough where nobody signs in."""

from __future__ import annotations

import pytest

from apps.core.context import RequestContext
from apps.identity.models import Project

READER = frozenset({"reader"})
MEMBER = READER | {"member"}
ADMIN = MEMBER | {"manager", "admin"}


def make_project(ident: str) -> Project:
    domain, _ = Project.objects.get_or_create(id="default", name="Default", is_domain=True)
    return Project.objects.create(id=ident, name=ident, domain=domain, parent=domain)


def caller(project: str, roles: frozenset[str] = MEMBER) -> RequestContext:
    return RequestContext(user_id=f"user-of-{project}", project_id=project, roles=roles)


@pytest.fixture
def ctx(db: None) -> RequestContext:
    """A member of the project `one`."""
    make_project("one")
    return caller("one")


@pytest.fixture
def other(ctx: RequestContext) -> RequestContext:
    """A member of another project."""
    make_project("two")
    return caller("two")


@pytest.fixture
def admin(ctx: RequestContext) -> RequestContext:
    """An administrator."""
    make_project("ops")
    return caller("ops", ADMIN)
