"""`hogline demo`: the instance, a small shop with the interceptor, and visitors that browse it.

A user of both packages, as an app of one's own would be; of the instance, only the command `hogline
demo` imports it.
"""

from hogline_instance.demo.run import main

__all__ = ["main"]
