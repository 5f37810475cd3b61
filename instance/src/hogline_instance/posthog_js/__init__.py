"""What posthog-js loads before and besides capture: its remote config, its own scripts, and the lists that it polls."""
