"""The S3 API (Amazon S3, 2006-03-01) on the same containers and objects as Swift's."""
