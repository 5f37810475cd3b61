"""Alerts: tell people about new issues, regressions and spikes by webhook, Slack and mail.

It knows error tracking through its face. It must not know insights or dashboards.
"""
