"""What the views of the image API share."""

from __future__ import annotations

from apps.core.api.service import Api, glance_fault, nova_links
from apps.core.errors import Invalid

IMAGE_API = Api(name="image", prefix="/image", fault=glance_fault, links=nova_links)


class LengthRequired(Invalid):
    """A body of unknown length: its end could not be told from a broken connection."""

    status = 411
    title = "Length Required"
