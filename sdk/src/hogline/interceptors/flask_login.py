"""The old path of `hogline.interceptors.users.flask_login`, kept for apps that import it."""

from hogline.interceptors.users.flask_login import signed_in_user

__all__ = ["signed_in_user"]
