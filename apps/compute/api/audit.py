"""`GET /os-instance_usage_audit_log`: on which hosts the monthly usage audit ran.

Usage is counted from the servers' own rows whenever somebody asks, so that no host runs such an audit: each is
shown as one where it has not run.
"""

from __future__ import annotations

import datetime
from typing import Any

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from apps.compute import selectors
from apps.compute.api.base import ComputeView
from apps.core.errors import Invalid

FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S.%f")


class AuditLog(ComputeView):
    """The last whole month, or with a moment in the path the last one before it."""

    def get(self, request: Request, before: str = "") -> Response:
        hosts = selectors.audited_host_list(self.ctx)
        begin, end = _last_month(_moment(before) if before else timezone.now())
        name = "instance_usage_audit_log" if before else "instance_usage_audit_logs"
        return Response({name: _log(hosts, begin, end)})


def _log(hosts: list[str], begin: datetime.datetime, end: datetime.datetime) -> dict[str, Any]:
    return {
        "period_beginning": f"{begin:%Y-%m-%d %H:%M:%S}",
        "period_ending": f"{end:%Y-%m-%d %H:%M:%S}",
        "num_hosts": len(hosts),
        "num_hosts_done": 0,
        "num_hosts_running": 0,
        "num_hosts_not_run": len(hosts),
        "hosts_not_run": hosts,
        "total_instances": 0,
        "total_errors": 0,
        "overall_status": f"{f'0 of {len(hosts)}' if hosts else 'ALL'} hosts done. 0 errors.",
        "log": {},
    }


def _moment(text: str) -> datetime.datetime:
    for form in FORMATS:
        try:
            return datetime.datetime.strptime(text, form).replace(tzinfo=datetime.UTC)
        except ValueError:
            continue
    raise Invalid(f"Invalid timestamp for date {text}")


def _last_month(before: datetime.datetime) -> tuple[datetime.datetime, datetime.datetime]:
    """First moments of the last month that had ended by then, and of the one after it."""
    end = before.astimezone(datetime.UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (end - datetime.timedelta(days=1)).replace(day=1), end
