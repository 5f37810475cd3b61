"""The app on Django under WSGI; `python -m` of this module is the project's manage.py."""

import sys

from django.core.management import execute_from_command_line
from django.urls import path

from tests.interceptors.apps import contract, django_project
from tests.interceptors.apps.django_views import Views

if __name__ == "__main__":
    # `runserver` imports this module by its name and serves its app.
    django_project.configure(WSGI_APPLICATION="tests.interceptors.apps.django_wsgi.app")
    execute_from_command_line(sys.argv)
else:
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler

    if not settings.configured:
        django_project.configure()
    build = django_project.builder(
        WSGIHandler, lambda client: [path(route, view) for route, view in Views(client).routes()]
    )
    app = contract.serve_wsgi(build, contract.of_request)
