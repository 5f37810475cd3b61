"""`hogline serve` whose pipeline has no steps: events pass from the journal to the store unchanged.

The peer of the ingest benchmark.
"""

import dataclasses
import functools
import sys

from hogline_instance import features, startup

if __name__ == "__main__":
    bare = tuple(dataclasses.replace(feature, step=None) for feature in features.FEATURES)
    startup.open_services = functools.partial(startup.open_services, features=bare)
    from hogline_instance.cli import serve

    sys.exit(serve(sys.argv[2:]))
