"""Request handlers: pages, the API, live events and assets."""
