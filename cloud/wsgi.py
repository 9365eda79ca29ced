"""Entry point of the API and bytes pools."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cloud.settings.base")
application = get_wsgi_application()

from apps.core.connections import end_with_threads  # noqa: E402 - settings come first

end_with_threads()
