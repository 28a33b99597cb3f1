"""Flask's test client, made to end each response as a server does."""

from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse


class ReadingClient(FlaskClient):
    """Reads every response to its end and closes it, so that its files are closed too."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        """Send a request."""
        return super().open(*args, **{"buffered": True, **kwargs})
