"""Hogline, PostHog for Python backends."""
