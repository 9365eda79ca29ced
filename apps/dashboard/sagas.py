"""Operations of the dashboard itself."""

from apps.dashboard.jobs import mail_reset
from apps.dashboard.resets import KIND
from apps.operations.registry import Job, Saga, register

register(Saga(KIND, (Job("mail", mail_reset),), title="Mail a password reset", forward_only=True))
