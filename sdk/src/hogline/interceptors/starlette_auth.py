"""The old path of `hogline.interceptors.users.starlette_auth`.

A real file, so that type checkers find it.
"""

from hogline.interceptors.users.starlette_auth import signed_in_user

__all__ = ["signed_in_user"]
