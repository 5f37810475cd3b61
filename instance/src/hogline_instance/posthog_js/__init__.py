"""The browser SDK, posthog-js: its remote config, its own scripts, and the lists that it polls."""
