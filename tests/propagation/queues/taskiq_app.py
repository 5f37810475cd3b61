import asyncio
import signal
import sys

from redis.asyncio import Redis
from taskiq import AsyncBroker, InMemoryBroker, SimpleRetryMiddleware
from taskiq.exceptions import NoResultError

from hogline.propagation.taskiq import PostHogPropagation
from tests.propagation.queues import contract

WORKER = [
    sys.executable, "-m", "taskiq", "worker", "tests.propagation.queues.taskiq_app:broker", "--workers", "1", "--max-async-tasks", "1",
    "--log-level", "ERROR",
]  # fmt: skip
STOP = signal.SIGINT
FEATURES = {"retries", "eager", "control", "late"}
_KEY = "taskiq"


class ListBroker(AsyncBroker):
    """A list in Redis, by Taskiq's documented interface for brokers."""

    async def kick(self, message):
        async with Redis.from_url(contract.REDIS_URL) as redis:
            await redis.rpush(_KEY, message.message)

    async def listen(self):
        redis = Redis.from_url(contract.REDIS_URL)
        while True:
            found = await redis.blpop([_KEY], timeout=0.2)
            if found:
                yield found[1]


def set_up(broker):
    if contract.ON:
        broker.add_middlewares(PostHogPropagation(**contract.OPTIONS))
    broker.add_middlewares(SimpleRetryMiddleware(default_retry_count=1))
    return broker


broker = set_up(ListBroker())
at_once = set_up(InMemoryBroker(await_inplace=True))


@broker.task
async def note(label):
    contract.note(label)


@at_once.task
async def note_at_once(label):
    contract.note(label)


@broker.task
def child(label):  # a plain function: Taskiq runs it in a thread
    contract.note(label)
    asyncio.run(note.kiq(f"{label}-child"))


@broker.task(retry_on_error=True, max_retries=2)
async def broken(label):
    contract.broken(label)


@broker.task
async def caught(label):
    contract.caught(label)


@broker.task
async def reused(label):
    contract.reused(label)


@broker.task
async def control(label):
    contract.done(label)
    raise NoResultError


@broker.task(timeout=0.3)
async def late(label):
    contract.done(label)
    await asyncio.sleep(60)


def send(task, label):
    asyncio.run((note_at_once if task == "eager" else globals()[task]).kiq(label))
