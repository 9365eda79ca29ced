"""What the services of images share."""

from __future__ import annotations

from apps.core import live
from apps.image.models import Image
from apps.image.states import Visibility


def announce(image: Image, *, was_public: bool = False) -> None:
    """Tell the open pages that show it: everybody's for an image that is public, or was until now."""
    everybody = was_public or image.visibility == Visibility.PUBLIC
    live.notify(live.EVERYBODY if everybody else image.project_id, "image", image.pk)
