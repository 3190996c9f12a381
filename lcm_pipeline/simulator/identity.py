"""Authentication: the Token and Operator of the body, and the bearer token of ManagerLogin.

A refresh token works once. `forget` does what a restart of the server does: every issued token
becomes invalid.
"""

import base64
import time
from urllib.parse import parse_qs

from lcm_pipeline.simulator.configuration import SimulatorConfig
from lcm_pipeline.simulator.fields import Value
from lcm_pipeline.simulator.replies import Reply, write_json
from lcm_pipeline.simulator.requests import Request

# The `token` claim of a bearer token if no Token is configured.
_CLAIMED_TOKEN = 777_001
_BAD_TOKEN = (2, "Токен не найден или устарел")
_BAD_OPERATOR = (9, "Оператор не найден")


class Identity:
    """The tokens that are valid now."""

    def __init__(self, config: SimulatorConfig) -> None:
        self._config = config
        self._access: dict[str, float] = {}
        self._refresh: set[str] = set()
        self._issued = 0
        self.logins: dict[str, int] = {"password": 0, "refresh_token": 0, "refused": 0}

    @property
    def body_token(self) -> int | None:
        """The Token that a body has to contain; None if it is not checked."""
        if self._config.token is None and self._config.username is not None:
            return _CLAIMED_TOKEN
        return self._config.token

    def forget(self) -> None:
        """Invalidate every bearer and refresh token."""
        self._access.clear()
        self._refresh.clear()

    def log_in(self, body: bytes) -> Reply:
        """The reply to a request of ManagerLogin."""
        form = {
            name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()
        }
        grant = form.get("grant_type", "")
        username, password = self._config.username, self._config.password
        sent = (form.get("username"), form.get("password"))
        if grant == "refresh_token" and form.get("refresh_token") in self._refresh:
            self._refresh.discard(form["refresh_token"])
        elif grant != "password" or (username is not None and sent != (username, password)):
            self.logins["refused"] += 1
            error: dict[str, Value] = {"error": "unsupported_grant_type"}
            if grant in ("password", "refresh_token"):
                message = "Неверное имя или пароль"
                error = {"error": "invalid_grant", "error_description": message}
            return Reply(400, write_json(error))
        self.logins[grant] += 1
        return Reply(200, write_json(self._issue_tokens()))

    def _issue_tokens(self) -> dict[str, Value]:
        self._issued += 1
        expires = int(time.time()) + self._config.token_seconds
        claims = {"token": str(self.body_token or _CLAIMED_TOKEN), "exp": expires}
        access = ".".join(
            base64.urlsafe_b64encode(write_json(part)).rstrip(b"=").decode()
            for part in ({"alg": "HS256", "typ": "JWT"}, claims, f"signature {self._issued}")
        )
        refresh = f"refresh-{self._issued:08}"
        self._access[access] = time.time() + self._config.token_seconds
        self._refresh.add(refresh)
        return {
            "access_token": access,
            "token_type": "bearer",
            "expires_in": self._config.token_seconds,
            "refresh_token": refresh,
        }

    def admits(self, authorization: str) -> bool:
        """Whether the bearer token of a request is valid, or none is required."""
        if self._config.username is None:
            return True
        scheme, _, access = authorization.partition(" ")
        return scheme.lower() == "bearer" and self._access.get(access, 0) > time.time()

    def refusal(self, request: Request) -> tuple[int, str] | None:
        """The ErrorCode and Message for a body with a wrong identity; None if it is right."""
        config, expected = self._config, self.body_token
        if config.site_code is not None and request.get("SiteCode") == config.site_code:
            return None
        if expected is not None and request.get("Token") != expected:
            return _BAD_TOKEN
        if config.operator is not None and request.get("Operator") != config.operator:
            return _BAD_OPERATOR
        return None
