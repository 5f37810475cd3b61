"""The signed-in user of a login library, as a `distinct_id` callable. No framework's interceptor."""
