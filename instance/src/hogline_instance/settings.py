"""Every option of the instance, declared once: type, default, unit, environment variable."""

import dataclasses
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hogline_instance.exceptions import SettingsError
from hogline_instance.private_hosts import PrivateHosts

__all__ = ["Settings"]

_MEBI = 1024 * 1024
_SMTP_SECURITY = ("starttls", "tls", "none")
_HOST_NAME = re.compile(r"[a-z0-9_.-]+")


def _option(default: Any, text: str, *, minimum: float | None = None, maximum: float = 1e15) -> Any:
    return field(default=default, metadata={"text": text, "minimum": minimum, "maximum": maximum})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The options of an instance.

    Raises SettingsError: a value is invalid; the message says where it came from and what to
    write instead.
    """

    data_dir: Path = _option(Path("hogline-data"), "Folder for all data of this instance; created on first run.")
    host: str = _option("127.0.0.1", "Address to listen on; any but a loopback address needs admin_password.")
    port: int = _option(8010, "Port to listen on; 0 takes a free one.", minimum=0, maximum=65_535)
    public_url: str = _option("", "The URL that browsers reach this instance by, if not http://host:port.")
    allowed_hosts: str = _option(
        "",
        "Host names that pages and API answer besides this machine's, separated by commas; others get 421. "
        "Empty: any, if admin_password is set.",
    )
    admin_password: str = _option("", "Password of the pages. Empty: no login, loopback only.")
    store_url: str = _option(
        "", "ClickHouse: `chdb:///folder` in process (in data_dir when empty), or `https://user:password@host`."
    )
    store_cluster: str = _option(
        "", "Name of the ClickHouse cluster at store_url: tables are replicated and spread over it. Empty: one node."
    )
    database_url: str = _option("", "SQL database of projects and keys, for SQLAlchemy: SQLite in data_dir when empty.")
    posthog_js_dir: Path | None = _option(None, "`dist` folder of the npm package posthog-js, served under /static/.")
    max_body_bytes: int = _option(20 * _MEBI, "Most bytes of one request's body.", minimum=1024)
    max_decompressed_bytes: int = _option(100 * _MEBI, "Most bytes of one body after decompression.", minimum=1024)
    max_event_bytes: int = _option(
        _MEBI,
        "Most bytes of one event's properties; a larger event is refused, the rest of its batch is not.",
        minimum=1024,
    )
    max_request_events: int = _option(10_000, "Most events of one request; one with more is refused.", minimum=1)
    max_inflight_bytes: int = _option(
        256 * _MEBI,
        "Most bytes of bodies that all requests together hold in memory; beyond that, requests get 503.",
        minimum=_MEBI,
    )
    max_header_bytes: int = _option(64 * 1024, "Most bytes of one request's URL and headers.", minimum=1024)
    max_connections: int = _option(1_000, "Most open connections; the next one gets 503.", minimum=1)
    head_timeout_s: float = _option(15.0, "Seconds within which a request's URL and headers must arrive.", minimum=0.1)
    body_timeout_s: float = _option(60.0, "Seconds within which a request's body must arrive.", minimum=0.1)
    journal_max_bytes: int = _option(
        2048 * _MEBI,
        "Most bytes of accepted events that are not in the store yet; beyond that, requests get 503.",
        minimum=_MEBI,
    )
    journal_segment_bytes: int = _option(64 * _MEBI, "Bytes of one journal file.", minimum=1024)
    journal_commit_window_ms: float = _option(
        2.0, "Milliseconds that an append waits for others to share its fsync.", minimum=0
    )
    pipeline_max_waiting_bytes: int = _option(
        256 * _MEBI, "Most bytes in memory between journal and store; beyond that, requests get 503.", minimum=_MEBI
    )
    people_remembered_max_bytes: int = _option(
        48 * _MEBI, "Most bytes of memory, about, for people of earlier events; 0 remembers nobody.", minimum=0
    )
    flush_rows: int = _option(20_000, "Most rows of one insert.", minimum=1)
    flush_interval_s: float = _option(0.2, "Seconds that a stored event waits for others before its insert.", minimum=0)
    query_max_s: float = _option(30.0, "Most seconds that one query may take.", minimum=0.1)
    query_max_bytes: int = _option(2048 * _MEBI, "Most bytes of memory that one query may use.", minimum=_MEBI)
    project_lookup_max_age_s: float = _option(
        1.0, "Seconds until this process sees projects and keys that another process made.", minimum=0.1
    )
    live_max_readers: int = _option(200, "Most live readers at the same time; the next one gets 503.", minimum=1)
    live_max_waiting_events: int = _option(5_000, "Most events that one live reader may lag behind.", minimum=1)
    alert_private_hosts: str = _option(
        "",
        "Hosts at private addresses that alerts may be sent to: names, addresses or networks (`10.1.0.0/16`), "
        "separated by commas. Empty: public addresses only.",
    )
    alert_timeout_s: float = _option(10.0, "Seconds within which the receiver of an alert must answer.", minimum=0.1)
    alert_max_attempts: int = _option(12, "Most attempts to deliver one alert's message.", minimum=1, maximum=100)
    alert_first_retry_s: float = _option(
        15.0, "Seconds until a message that failed is sent again; they double with each attempt.", minimum=0.1
    )
    alert_longest_retry_s: float = _option(3600.0, "Most seconds between two attempts.", minimum=0.1)
    alert_max_waiting: int = _option(
        1_000, "Most occasions that wait for one alert's next message; more are counted, and not kept.", minimum=1
    )
    alert_log_max_deliveries: int = _option(500, "Most finished deliveries in the log of one alert.", minimum=1)
    smtp_host: str = _option("", "Mail server that alerts are sent through. Empty: no mail.")
    smtp_port: int = _option(587, "Port of the mail server.", minimum=1, maximum=65_535)
    smtp_security: str = _option(
        "starttls", "Encryption of mail: `starttls`, `tls` from the first byte (port 465), or `none`."
    )
    smtp_user: str = _option("", "User name at the mail server. Empty: no login.")
    smtp_password: str = _option("", "Password at the mail server.")
    smtp_from: str = _option("", "Sender of mail, such as `Hogline <alerts@example.com>`; needed with smtp_host.")

    def __post_init__(self) -> None:
        for declared in dataclasses.fields(self):
            _check(declared, getattr(self, declared.name))
        if self.posthog_js_dir is not None and not (self.posthog_js_dir / "array.js").is_file():
            raise SettingsError(
                f"posthog_js_dir must be the `dist` folder of the npm package posthog-js, but {self.posthog_js_dir} has no array.js"
            )
        for name in self.host_names:
            if not _HOST_NAME.fullmatch(name):
                raise SettingsError(
                    f"allowed_hosts must be host names without scheme and port, as in hogline.example, got {name!r}"
                )
        self._check_alerts()
        if not self.admin_password and not _is_loopback(self.host):
            raise SettingsError(
                f"host {self.host!r} can be reached from other machines, so the pages need a password: "
                "set HOGLINE_ADMIN_PASSWORD, or listen on 127.0.0.1"
            )

    def _check_alerts(self) -> None:
        try:
            PrivateHosts.parse(self.alert_private_hosts)
        except ValueError as error:
            raise SettingsError(f"alert_private_hosts: {error}; an example is hooks.internal, 10.1.0.0/16") from error
        if self.smtp_security not in _SMTP_SECURITY:
            raise SettingsError(f"smtp_security must be {' or '.join(_SMTP_SECURITY)}, got {self.smtp_security!r}")
        if self.smtp_host and "@" not in self.smtp_from:
            raise SettingsError(
                f"smtp_from must be the sender's address when smtp_host is set, as in alerts@example.com, got {self.smtp_from!r}"
            )

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> "Settings":
        """Return settings from *overrides* that are not None, `HOGLINE_*`, and the defaults."""
        environ = os.environ if environ is None else environ
        values = {name: value for name, value in overrides.items() if value is not None}
        for declared in dataclasses.fields(cls):
            variable = f"HOGLINE_{declared.name.upper()}"
            # HOGLINE_HOST is the SDK's option, the instance it sends to; the address to listen on
            # has another name.
            variable = "HOGLINE_LISTEN_HOST" if declared.name == "host" else variable
            if declared.name not in values and environ.get(variable):
                values[declared.name] = _parse(declared, environ[variable], variable)
        return cls(**values)

    @property
    def host_names(self) -> frozenset[str]:
        """The names in `allowed_hosts`, in lower case."""
        names = (name.strip().lower().removesuffix(".") for name in self.allowed_hosts.split(","))
        return frozenset(name for name in names if name)

    @property
    def private_hosts(self) -> PrivateHosts:
        """The hosts in `alert_private_hosts`."""
        return PrivateHosts.parse(self.alert_private_hosts)

    @property
    def journal_dir(self) -> Path:
        """The folder that keeps accepted events until the store has them."""
        return self.data_dir / "journal"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check(declared: "dataclasses.Field[Any]", value: Any, origin: str = "") -> None:
    minimum, maximum = declared.metadata["minimum"], declared.metadata["maximum"]
    if minimum is None:
        return
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not minimum <= value <= maximum:  # nan is in no range
        most = f" and at most {maximum:g}" if maximum < 1e15 or (is_number and value > maximum) else ""
        raise SettingsError(f"{declared.name} must be a number of at least {minimum:g}{most}, got {value!r}{origin}")


def _parse(declared: "dataclasses.Field[Any]", text: str, variable: str) -> Any:
    if declared.name in ("data_dir", "posthog_js_dir"):
        return Path(text)
    kind = type(declared.default)
    if kind in (int, float):
        try:
            value = kind(text)
        except ValueError:
            raise SettingsError(f"{declared.name} must be a number, got {text!r} (from {variable})") from None
        _check(declared, value, f" (from {variable})")
        return value
    return text
