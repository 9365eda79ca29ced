"""Swift's API: a thin layer of views of its own, since it speaks in headers, text and bytes, not in JSON."""
