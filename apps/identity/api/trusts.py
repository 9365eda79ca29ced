"""`/v3/OS-TRUST/trusts`."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.api import types as t
from apps.core.api.listing import Param
from apps.core.api.resource import CREATE, SHOW
from apps.core.api.views import Crud
from apps.identity import resources, selectors, services
from apps.identity.api.base import IdentityView
from apps.identity.api.views import moment


class Trusts(IdentityView):
    resource = resources.TRUST
    params = (Param("trustor_user_id", t.text(64)), Param("trustee_user_id", t.text(64)))
    calls = Crud.of("trust", selectors, services, without=("update",))

    def create(self, request: Request, **_: Any) -> Response:
        arguments = self._arguments(CREATE, request.data)
        if text := arguments.get("expires_at"):
            arguments["expires_at"] = moment(text)
        return Response(self._written(services.trust_create(self.ctx, **arguments), SHOW), status=201)


class TrustRoles(IdentityView):
    resource = resources.ROLE
    calls = Crud(list=selectors.trust_roles, get=selectors.trust_role)
