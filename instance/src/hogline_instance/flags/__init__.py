"""Feature flags: definitions that people edit, and their evaluation for SDKs and pages.

The evaluation itself is the SDK's `hogline.flags.evaluation`. This package knows people, cohorts
and the store; it must not know insights or experiments.
"""
