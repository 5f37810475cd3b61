"""Work that a request hands to threads: its events carry the request's context."""

from fastapi import FastAPI

from hogline import PostHog
from hogline.interceptors.fastapi import PostHogInterceptor
from hogline.propagation.threads import Thread, ThreadPoolExecutor, carry

posthog = PostHog()  # from HOGLINE_PROJECT_TOKEN and HOGLINE_HOST
app = FastAPI()
app.add_middleware(PostHogInterceptor, client=posthog)
pool = ThreadPoolExecutor(4)  # replaces concurrent.futures.ThreadPoolExecutor


def work(where):
    posthog.capture("worked", properties={"where": where})


@app.post("/checkout")
def checkout():
    pool.submit(work, "executor")
    Thread(target=work, args=["thread"]).start()  # replaces threading.Thread
    somebody_elses_queue.append(carry(work))  # keeps the context, wherever it is called
    return "thank you"


somebody_elses_queue = []


@app.post("/later")
def later():
    while somebody_elses_queue:
        somebody_elses_queue.pop()("queue")
    return "done"
