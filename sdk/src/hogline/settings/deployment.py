"""Find the release and the environment of a deployment in the variables that platforms set.

Pure over the given variables. A release that no variable names is the commit in `.git`, which
`git_commit.py` reads.
"""

from collections.abc import Mapping
from urllib.parse import unquote

__all__ = ["find_environment", "find_release"]

_MAX_CHARACTERS = 200
_OTEL_ATTRIBUTES = "OTEL_RESOURCE_ATTRIBUTES"
# What a person named comes first, then the deployed commit or revision, then the commit of a CI job.
_RELEASE_VARIABLES = (
    "SENTRY_RELEASE",
    "DD_VERSION",
    "HEROKU_BUILD_COMMIT",
    "HEROKU_SLUG_COMMIT",
    "VERCEL_GIT_COMMIT_SHA",
    "RENDER_GIT_COMMIT",
    "RAILWAY_GIT_COMMIT_SHA",
    "KOYEB_GIT_SHA",
    "CF_PAGES_COMMIT_SHA",
    "SOURCE_VERSION",
    "SOURCE_COMMIT",
    "K_REVISION",
    "GAE_VERSION",
    "CONTAINER_APP_REVISION",
    "FLY_IMAGE_REF",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "CODEBUILD_RESOLVED_SOURCE_VERSION",
    "GITHUB_SHA",
    "CI_COMMIT_SHA",
    "CIRCLE_SHA1",
    "BITBUCKET_COMMIT",
    "BUILDKITE_COMMIT",
    "BUILD_SOURCEVERSION",
    "TRAVIS_COMMIT",
)
_ENVIRONMENT_VARIABLES = (
    "SENTRY_ENVIRONMENT",
    "DD_ENV",
    "VERCEL_ENV",
    "RAILWAY_ENVIRONMENT_NAME",
    "AZURE_FUNCTIONS_ENVIRONMENT",
    "CI_ENVIRONMENT_NAME",
)
_UNNAMED = "$LATEST"  # AWS Lambda's word for code that has no version


def find_release(environ: Mapping[str, str]) -> str | None:
    """Return the release that a platform's variable names, or None."""
    return _attribute(environ, "service.version") or _first(environ, _RELEASE_VARIABLES)


def find_environment(environ: Mapping[str, str]) -> str | None:
    """Return the environment that a platform's variable names, or None."""
    return (
        _attribute(environ, "deployment.environment.name")
        or _attribute(environ, "deployment.environment")
        or _first(environ, _ENVIRONMENT_VARIABLES)
    )


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    for name in names:
        value = environ.get(name, "").strip()
        if value and value != _UNNAMED:
            return value[:_MAX_CHARACTERS]
    return None


def _attribute(environ: Mapping[str, str], wanted: str) -> str | None:
    """Return an attribute of OpenTelemetry's resource: `name=value` pairs between commas."""
    for pair in environ.get(_OTEL_ATTRIBUTES, "").split(","):
        name, _, value = pair.partition("=")
        if name.strip() == wanted and (text := unquote(value.strip())):
            return text[:_MAX_CHARACTERS]
    return None
