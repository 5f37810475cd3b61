"""`hogline doctor`: what stands between an app and its events, asked one after the other, each answer with the next step.

A user of the client, as an app of one's own would be; nothing else of the SDK imports it. `process_findings()` tells the
same of the process that calls it: a worker of yours, for example.
"""

from hogline.doctor.command import main
from hogline.doctor.finding import Finding
from hogline.doctor.process import process_findings

__all__ = ["Finding", "main", "process_findings"]
