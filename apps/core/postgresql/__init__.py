"""Django's PostgreSQL engine, which asks less often whether a kept connection still lives."""
