"""The old path of `hogline.interceptors.users.flask_login`.

A real file, so that type checkers find it.
"""

from hogline.interceptors.users.flask_login import signed_in_user

__all__ = ["signed_in_user"]
