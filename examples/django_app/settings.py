"""The interceptor comes first in MIDDLEWARE; its options are in HOGLINE."""

from pathlib import Path

MIDDLEWARE = [
    "hogline.interceptors.django.PostHogInterceptor",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
HOGLINE = {"capture_exceptions": True}  # client from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST

ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path(__file__).with_name("shop.sqlite3"),
    }
}
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
]
ROOT_URLCONF = "urls"
SECRET_KEY = "change me"
WSGI_APPLICATION = "wsgi.application"
