"""Work that a request leaves to threads, its events with the request's context."""

from fastapi import FastAPI

from hogline import PostHog
from hogline.interceptors.fastapi import PostHogInterceptor
from hogline.propagation.threads import Thread, ThreadPoolExecutor, carry

posthog = PostHog()  # token and host from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST
app = FastAPI()
app.add_middleware(PostHogInterceptor, client=posthog)
pool = ThreadPoolExecutor(4)  # in place of concurrent.futures'


def work(where):
    posthog.capture("worked", properties={"where": where})


@app.post("/checkout")
def checkout():
    pool.submit(work, "executor")
    Thread(target=work, args=["thread"]).start()  # in place of threading's
    somebody_elses_queue.append(carry(work))  # whoever calls it, whenever
    return "thank you"


somebody_elses_queue = []


@app.post("/later")
def later():
    while somebody_elses_queue:
        somebody_elses_queue.pop()("queue")
    return "done"
