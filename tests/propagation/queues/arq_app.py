import asyncio
import signal
import sys

from arq import Retry, create_pool
from arq.connections import RedisSettings
from arq.worker import func

from hogline.propagation.arq import PostHogPropagation
from tests.propagation.queues import contract

WORKER = [sys.executable, "-m", "arq", "tests.propagation.queues.arq_app.WorkerSettings"]
STOP = signal.SIGTERM
FEATURES = {"retries", "later", "control", "late"}

propagation = PostHogPropagation(**contract.OPTIONS)


async def note(ctx, label):
    contract.note(label)


async def child(ctx, label):
    contract.note(label)
    await ctx["redis"].enqueue_job("note", f"{label}-child")


async def broken(ctx, label):
    try:
        contract.broken(label)
    except contract.Mistake as error:
        raise Retry(defer=0.01) from error  # the only way that arq tries again


async def caught(ctx, label):
    contract.caught(label)


async def reused(ctx, label):
    contract.reused(label)


async def control(ctx, label):
    contract.done(label)
    if ctx["job_try"] == 1:
        raise Retry(defer=0.01)


async def late(ctx, label):
    contract.done(label)
    await asyncio.sleep(60)


class WorkerSettings:
    functions = [note, child, func(broken, max_tries=2), caught, reused, control, func(late, timeout=0.5)]
    redis_settings = RedisSettings.from_dsn(contract.REDIS_URL)
    max_jobs = 1
    poll_delay = 0.05


if contract.ON:
    propagation.worker(WorkerSettings)


def send(task, label):
    async def enqueue():
        pool = await create_pool(WorkerSettings.redis_settings)
        if contract.ON:
            propagation.pool(pool)
        if task == "later":
            await pool.enqueue_job("note", label, _defer_by=0.2)
        else:
            await pool.enqueue_job(task, label)
        await pool.aclose()

    asyncio.run(enqueue())
