"""Calls of before 2.36 that pass on what the network and image services do: kept because tools still use them.

Each call goes through the other service's own selectors and services, and so under its rules.
"""
