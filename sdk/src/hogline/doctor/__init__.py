"""`hogline doctor` checks whether events arrive, and says what to do about each failure.

It uses the client as an app does; nothing else of the SDK imports it. `process_findings()` checks
the process that calls it, for example one of your workers.
"""

from hogline.doctor.command import main
from hogline.doctor.finding import Finding
from hogline.doctor.process import process_findings

__all__ = ["Finding", "main", "process_findings"]
