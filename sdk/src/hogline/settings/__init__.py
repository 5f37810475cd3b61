"""Every option, declared once: its kind, default, meaning and environment variable.

`client.py`, `interceptor.py` and `task.py` declare; `options.py` is the mechanism. Nothing here
knows a client or a framework.
"""

from hogline.settings.client import (
    LONGEST_WAIT_S,
    CaptureCompression,
    CaptureMode,
    ClientSettings,
    WhenFull,
)
from hogline.settings.interceptor import (
    AddressHeader,
    ExceptionCapture,
    Handled,
    InterceptorSettings,
    Network,
    UrlQuery,
)
from hogline.settings.options import environment_variables
from hogline.settings.task import TaskSettings

__all__ = [
    "LONGEST_WAIT_S",
    "AddressHeader",
    "CaptureCompression",
    "CaptureMode",
    "ClientSettings",
    "ExceptionCapture",
    "Handled",
    "InterceptorSettings",
    "Network",
    "TaskSettings",
    "UrlQuery",
    "WhenFull",
    "environment_variables",
]
