"""A URL that is none, or of no engine, is refused by a typed error that repeats no password."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from session_store.cli.app import run
from session_store.errors import ConfigError
from session_store.sync import SessionStore


@pytest.mark.parametrize(
    "url",
    [
        "file://[x",
        "sqlite://[x",
        "postgresql://u:hidden[@h/db",
        "redis://[x:hidden",
        "redis://:hidden@h:abc",
        "redis://:hidden@h/name",
        "s3://[x",
        "s3://bucket]",
        "gs://[",
        "az://[",
        "mysql://u:hidden@h/db",
        "my_sql://u:hidden@h/db",
        "my-sql+x://u:hidden@h/db",
        " postgresql://u:hidden@h/db",
        "://u:hidden@h",
    ],
)
def test_what_is_no_url_of_an_engine_is_refused(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigError) as refused:
        SessionStore.open(url)
    code = run(["append", "--store", url, "key", "user", "hello"])

    told = capsys.readouterr().err
    assert code == 2
    assert told.count("\n") == 1
    assert "hidden" not in f"{refused.value}{told}"
    assert os.listdir() == [], "a folder was made"


@pytest.mark.parametrize("kind", ["text", "list"])
def test_keys_of_something_else_on_redis_are_refused(
    kind: str, places: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    url = places("redis")
    place, _, prefix = url.partition("?prefix=")
    with redis.Redis.from_url(place) as client:
        if kind == "text":
            client.set(f"{prefix}:version", "of an application")
        else:
            client.lpush(f"{prefix}:version", "of an application")
        code = run(["append", "--store", url, "key", "user", "hello"])
        client.delete(f"{prefix}:version")

    told = capsys.readouterr().err
    assert code == 2
    assert "something else" in told
    assert told.count("\n") == 1
