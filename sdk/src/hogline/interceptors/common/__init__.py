"""The parts that interceptors share, without any framework.

They are options, callbacks, lifespan, streamed bodies, and serverless platforms.
"""
