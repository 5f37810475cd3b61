"""`hogline demo`: the instance, a small shop with the interceptor, and visitors that browse it.

The demo uses both packages as any app would. Only the command `hogline demo` imports it.
"""

from hogline_instance.demo.run import main

__all__ = ["main"]
