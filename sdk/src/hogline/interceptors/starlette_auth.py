"""The old path of `hogline.interceptors.users.starlette_auth`, kept for apps that import it."""

from hogline.interceptors.users.starlette_auth import signed_in_user

__all__ = ["signed_in_user"]
