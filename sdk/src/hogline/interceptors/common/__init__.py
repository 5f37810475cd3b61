"""What interceptors share: options, callbacks, lifespan, streamed bodies, serverless platforms. No framework."""
