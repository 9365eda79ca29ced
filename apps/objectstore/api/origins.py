"""What a browser lets do what users stored: nothing at the address of the cloud itself, more at one set apart for it.

`sandbox` gives each document an origin of its own. Pages that users publish may run scripts only under the name
`objectstore.pages_host`, where people do not sign in; they stay apart from each other and from everything of Kumo's.
"""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

HEADER = "Content-Security-Policy"
# What goes with every answer: nothing that users stored acts as a page of this origin.
SAFE = {HEADER: "sandbox", "X-Content-Type-Options": "nosniff"}
PUBLISHED = "sandbox allow-scripts allow-forms allow-popups allow-modals allow-downloads"


def published(request: HttpRequest, response: HttpResponseBase) -> None:
    """Mark an answer as a page of a site that a user published."""
    host = settings.CONFIG.objectstore.pages_host
    if host and request.get_host().rpartition("@")[2].split(":")[0].lower() == host.lower():
        response[HEADER] = PUBLISHED
