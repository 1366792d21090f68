"""URLs of buckets: what they may say, and that no secret of one is ever repeated."""

import pytest

from session_store.engines.objects import open_files, place_in
from session_store.engines.objects.urls import Place, parse_url
from session_store.errors import ConfigError, SessionStoreError


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("s3://bucket", Place("s3", "bucket")),
        ("s3://bucket/", Place("s3", "bucket")),
        ("s3://my.Bucket-1/a/b_c/", Place("s3", "my.Bucket-1", "a/b_c")),
        (
            "s3://bucket/a?endpoint=http://127.0.0.1:9000&region=eu-1",
            Place("s3", "bucket", "a", "http://127.0.0.1:9000", "eu-1"),
        ),
        ("gs://bucket/a", Place("gs", "bucket", "a")),
        ("az://container/a", Place("az", "container", "a")),
    ],
)
def test_a_url_names_a_place_and_is_made_of_one(url: str, place: Place) -> None:
    assert parse_url(url) == place
    assert parse_url(place.url) == place


@pytest.mark.parametrize(
    "url",
    [
        "s3:bucket",
        "s3:///prefix",
        "s3://b",
        "s3://bu cket",
        "s3://bucket:80",
        "s3://bucket/a//b",
        "s3://bucket/a/../b",
        "s3://bucket/./b",
        "s3://bucket/ü",
        f"s3://bucket/{'a' * 101}",
        "s3://bucket#x",
        "s3://bucket?endpoint=",
        "s3://bucket?endpoint=ftp://a",
        "s3://bucket?endpoint=http://",
        "s3://bucket?endpoint=http://a:b:c",
        "s3://bucket?endpoint=http://a?b=c",
        "s3://bucket?region=a&region=b",
        "s3://bucket?colour=red",
        "gs://bucket?region=a",
    ],
)
def test_a_url_that_names_no_place_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_files(url, io_timeout_ms=1000)

    assert caught.value.field == "url"


@pytest.mark.parametrize(
    "url",
    [
        "s3://KEY:hunter2@bucket/a",
        "s3://bucket?access_key_id=KEY&secret_access_key=hunter2",
        "s3://bucket?token=hunter2",
        "s3://bucket?endpoint=http://KEY:hunter2@host",
        "az://container?account_key=hunter2",
        "gs://bucket?service_account_key=hunter2",
    ],
)
def test_a_url_with_credentials_is_refused_and_says_where_they_belong(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_files(url, io_timeout_ms=1000)

    assert "environment" in str(caught.value)
    error: BaseException | None = caught.value
    while error is not None:
        assert isinstance(error, SessionStoreError)
        assert "hunter2" not in f"{error!r}{error}{error.__dict__}"
        error = error.__cause__


def test_a_place_beside_another_is_in_neither() -> None:
    url = "s3://bucket/a?endpoint=http://127.0.0.1:9000&region=eu-1"

    beside = parse_url(place_in(url, "x"))

    assert (beside.bucket, beside.prefix) == ("bucket", "a-x")
    assert (beside.endpoint, beside.region) == ("http://127.0.0.1:9000", "eu-1")
    assert parse_url(place_in("s3://bucket", "x")).prefix == "x"
