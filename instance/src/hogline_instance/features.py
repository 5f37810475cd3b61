"""The list of features, with the routes, pages, menu, endpoints, steps and jobs of each.

A new feature is a folder and an entry here. Nothing below this module knows which features there
are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fastapi import APIRouter

from hogline_instance.activity import api as activity_api
from hogline_instance.activity import pages as activity_pages
from hogline_instance.alerts import api as alert_api
from hogline_instance.alerts import jobs as alert_jobs
from hogline_instance.alerts import pages as alert_pages
from hogline_instance.alerts.recording import recorder
from hogline_instance.cohorts import api as cohort_api
from hogline_instance.cohorts import jobs as cohort_jobs
from hogline_instance.cohorts import pages as cohort_pages
from hogline_instance.cohorts import person_section as cohort_section
from hogline_instance.cohorts.lookup import members
from hogline_instance.cohorts.places import delete_places, move_places
from hogline_instance.db import Database
from hogline_instance.definitions import api as definition_api
from hogline_instance.definitions import pages as definition_pages
from hogline_instance.definitions.step import DefinitionStep
from hogline_instance.errors import OnOccasions, rules_api, tracking_query
from hogline_instance.errors import api as error_api
from hogline_instance.errors import jobs as error_jobs
from hogline_instance.errors import pages as error_pages
from hogline_instance.errors.source_maps import api as symbol_api
from hogline_instance.errors.source_maps.resolver import SymbolResolver
from hogline_instance.errors.step import ErrorStep
from hogline_instance.flags import api as flag_api
from hogline_instance.flags import endpoints as flag_endpoints
from hogline_instance.flags import jobs as flag_jobs
from hogline_instance.flags import pages as flag_pages
from hogline_instance.flags import person_section as flag_section
from hogline_instance.flags.cohort_use import use_of_cohort
from hogline_instance.flags.hash_keys import forget_hash_keys, move_hash_keys
from hogline_instance.ingest import Endpoint
from hogline_instance.jobs import Job
from hogline_instance.live import api as live_api
from hogline_instance.live import pages as live_pages
from hogline_instance.people import api as people_api
from hogline_instance.people import jobs as people_jobs
from hogline_instance.people import pages as people_pages
from hogline_instance.people.deletion import OnDeletion
from hogline_instance.people.neighbours import MakeSection, Neighbours
from hogline_instance.people.overrides import publish_overrides
from hogline_instance.people.step import OnMerge, PeopleStep
from hogline_instance.pipeline import Step
from hogline_instance.posthog_js import endpoints as posthog_js_endpoints
from hogline_instance.projects import api as project_api
from hogline_instance.projects import jobs as project_jobs
from hogline_instance.projects import pages as project_pages
from hogline_instance.projects.step import ProjectStep
from hogline_instance.projects.uses import test_accounts_use_cohort
from hogline_instance.replay import endpoints as replay_endpoints
from hogline_instance.services import Services
from hogline_instance.sessions import api as session_api
from hogline_instance.sessions import pages as session_pages
from hogline_instance.settings import Settings
from hogline_instance.store import Store
from hogline_instance.web.auth import Access
from hogline_instance.web.query_endpoint import QueryKind
from hogline_instance.web.routes import join_routers
from hogline_instance.web.site import Site
from hogline_instance.web.templating import MenuEntry

__all__ = ["FEATURES", "Feature", "StepParts"]


@dataclass(frozen=True, slots=True)
class StepParts:
    """The parts of the instance that exist when the steps are made, before `Services`."""

    settings: Settings
    database: Database
    store: Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """The parts that a feature adds to the instance, all of them optional.

    *name* is also the name of its folder.
    """

    name: str
    menu: tuple[MenuEntry, ...] = ()
    pages: Callable[[Services, Site], APIRouter] | None = None
    api: Callable[[Services, Access], APIRouter] | None = None
    endpoints: Callable[[Services], Sequence[Endpoint]] | None = None
    queries: Callable[[Services], Mapping[str, QueryKind]] | None = None
    browser_config: Callable[[Settings], Mapping[str, object]] | None = None
    step: Callable[[StepParts], Step] | None = None
    on_merge: OnMerge | None = None
    on_person_deletion: OnDeletion | None = None
    person_section: Callable[[Services], MakeSection] | None = None
    on_occasions: Callable[[Settings], OnOccasions] | None = None
    jobs: Callable[[Services], Sequence[Job]] | None = None

    @property
    def package(self) -> str:
        """Return its package, which holds its `templates/` and `static/`."""
        return f"hogline_instance.{self.name}"


def error_router(services: Services, access: Access) -> APIRouter:
    """Return the routes of issues, and of their rules."""
    others = (part.build_router(services, access) for part in (rules_api, symbol_api))
    return join_routers(error_api.build_router(services, access, members), *others)


def people_step(parts: StepParts) -> Step:
    """Return the step of people, which tells the other features about merges."""
    on_merge = [feature.on_merge for feature in FEATURES if feature.on_merge is not None]
    return PeopleStep(
        on_merge,
        lambda: publish_overrides(parts.database, parts.store),
        remembered_max_bytes=parts.settings.people_remembered_max_bytes,
    )


def error_step(parts: StepParts) -> Step:
    """Return the step of error tracking, which tells other features of new and reopened issues."""
    return ErrorStep(SymbolResolver(), _on_occasions(parts.settings))


def _error_jobs(services: Services) -> Sequence[Job]:
    return error_jobs.build_jobs(services, _on_occasions(services.settings))


def _on_occasions(settings: Settings) -> list[OnOccasions]:
    return [feature.on_occasions(settings) for feature in FEATURES if feature.on_occasions is not None]


def neighbours_of_people(services: Services) -> Neighbours:
    """Return what the other features add to people."""
    return Neighbours(
        [feature.on_person_deletion for feature in FEATURES if feature.on_person_deletion is not None],
        members,
        [feature.person_section(services) for feature in FEATURES if feature.person_section is not None],
    )


_USES_OF_COHORTS = (use_of_cohort, test_accounts_use_cohort)

FEATURES: tuple[Feature, ...] = (
    Feature(
        name="projects",
        pages=project_pages.build_router,
        api=project_api.build_router,
        step=lambda _parts: ProjectStep(),
        jobs=project_jobs.build_jobs,
    ),
    Feature(
        name="live", menu=(MenuEntry("Live", "/", place=1),), pages=live_pages.build_router, api=live_api.build_router
    ),
    Feature(
        name="sessions",
        menu=(MenuEntry("Sessions", "/sessions", section="/session", place=2),),
        pages=session_pages.build_router,
        api=session_api.build_router,
    ),
    Feature(  # before activity, whose `/events/{uuid}/` would match `/events/values/`
        name="definitions",
        menu=(MenuEntry("Definitions", "/definitions", place=9),),
        pages=definition_pages.build_router,
        api=definition_api.build_router,
        step=lambda _parts: DefinitionStep(),
    ),
    Feature(
        name="activity",
        menu=(MenuEntry("Events", "/events", section="/event", place=8),),
        pages=activity_pages.build_router,
        api=activity_api.build_router,
    ),
    Feature(  # before people, whose `/persons/{person_id}/` would match `/persons/cohorts/`
        name="cohorts",
        menu=(MenuEntry("Cohorts", "/cohorts", section="/cohorts", place=6),),
        pages=lambda services, site: cohort_pages.build_router(services, site, _USES_OF_COHORTS),
        api=lambda services, access: cohort_api.build_router(services, access, _USES_OF_COHORTS),
        on_merge=move_places,
        on_person_deletion=delete_places,
        person_section=cohort_section.build_section,
        jobs=cohort_jobs.build_jobs,
    ),
    Feature(
        name="people",
        menu=(MenuEntry("People", "/people", section="/person", place=3),),
        pages=lambda services, site: people_pages.build_router(services, site, neighbours_of_people(services)),
        api=lambda services, access: people_api.build_router(services, access, neighbours_of_people(services)),
        step=people_step,
        jobs=people_jobs.build_jobs,
    ),
    Feature(
        name="errors",
        menu=(MenuEntry("Issues", "/issues", section="/issue", place=4),),
        pages=error_pages.build_router,
        api=error_router,
        queries=lambda services: tracking_query.build_query_kinds(services, members),
        step=error_step,
        jobs=_error_jobs,
    ),
    Feature(
        name="alerts",
        menu=(MenuEntry("Alerts", "/alerts", section="/alerts", place=7),),
        pages=alert_pages.build_router,
        api=alert_api.build_router,
        on_occasions=recorder,
        jobs=alert_jobs.build_jobs,
    ),
    Feature(
        name="flags",
        menu=(MenuEntry("Flags", "/feature_flags", section="/feature_flags", place=5),),
        pages=flag_pages.build_router,
        on_merge=move_hash_keys,
        on_person_deletion=forget_hash_keys,
        person_section=flag_section.build_section,
        api=flag_api.build_router,
        endpoints=flag_endpoints.build_endpoints,
        browser_config=flag_endpoints.browser_config,
        jobs=flag_jobs.build_jobs,
    ),
    Feature(name="replay", endpoints=replay_endpoints.build_endpoints, browser_config=replay_endpoints.browser_config),
    Feature(
        name="posthog_js",
        endpoints=posthog_js_endpoints.build_endpoints,
        browser_config=posthog_js_endpoints.browser_config,
    ),
)
"""The features in the order in which their steps run and their routes are tried."""
