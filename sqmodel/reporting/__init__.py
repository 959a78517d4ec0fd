"""The reporting room: pages, nothing computed."""
