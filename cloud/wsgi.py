"""Entry point of the API and bytes pools."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cloud.settings.base")
application = get_wsgi_application()
