"""Print the routes of the API and the pages as JSON: method, path, feature, and handler.

`python -m tests.instance.projects.routes FOLDER` opens an instance in an empty folder, since
features build their routes from its services.
"""

import json
import sys
from pathlib import Path

from hogline_instance import app as instance_app
from hogline_instance.features import FEATURES
from hogline_instance.ingest import IngestApp
from hogline_instance.settings import Settings
from hogline_instance.startup import open_services


def main(folder):
    services = open_services(Settings(data_dir=Path(folder)))
    try:
        ingest = IngestApp(services.settings, services.projects, services.writer, [])
        app = instance_app._web_app(services, ingest, FEATURES)
        found = [
            {
                "method": method,
                "path": route.path.rstrip("/") or "/",
                "feature": route.endpoint.__module__.split(".")[1],
                "handler": f"{route.endpoint.__module__}.{route.endpoint.__qualname__}",
                "streams": route.path.endswith("/live"),
            }
            for route in app.routes
            for method in sorted((route.methods or set()) - {"HEAD"})
        ]
    finally:
        services.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
