#!/usr/bin/env python
"""Operator's entry point: `manage.py doctor`, `manage.py host enroll`, `manage.py operation list`, …"""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cloud.settings.base")
    execute_from_command_line(sys.argv)
