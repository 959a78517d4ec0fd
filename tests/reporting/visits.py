"""A page opened in a browser, offline, with everything that it asks for or complains about written down."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Visit:
    """An open page, and what it asked for or complained about."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.context = browser.new_context(**options)
        self.context.route("**/*", self._refuse)
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(path.as_uri())
        self.own = path.as_uri()

    def _refuse(self, route: Any) -> None:
        if route.request.url.startswith("file:") and route.request.resource_type == "document":
            route.continue_()
            return
        self.asked.append(route.request.url)
        route.abort()
