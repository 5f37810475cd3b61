"""Event: what happened. Its limits, its id and its time. Pure: no thread, no socket, no clock but the one passed in."""

import os
import time
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

__all__ = ["MAX_NAME_CHARACTERS", "distinct_id_text", "event_id", "new_event_id", "timestamp_text"]

MAX_NAME_CHARACTERS = 200  # the server cuts longer ones; spec/instance-wire.md 1.5
_NAIVE_LOCAL_WINDOW = timedelta(seconds=5)  # a naive time this close to local now was meant as local; sdk-wire.md 1.4

# 74 random bits for each id come from here, refilled from the kernel 256 ids at a time.
_POOL_IDS = 256
