"""What a service may answer, and what is said of one that cannot be used."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from secrets import token_hex
from typing import Any

import obstore
import pytest
from objects_service import Service
from servers import SeaweedServer, free_ports
from servers.seaweed import ENVIRONMENT

from session_store import SessionStore
from session_store.engines.objects import erase, open_files, place_in
from session_store.engines.objects.bucket import Bucket
from session_store.engines.objects.opening import MARK
from session_store.engines.objects.urls import parse_url
from session_store.errors import ConfigError, StorageFullError, UnavailableError
from session_store.sync import SessionStore as BlockingStore

BOTH = ("If-Match", "If-None-Match")


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", os.environ.get("AWS_ACCESS_KEY_ID", "id"))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", os.environ.get("AWS_SECRET_ACCESS_KEY", "hunter2"))


@pytest.fixture
def service() -> Iterator[Service]:
    with Service(*BOTH) as service:
        yield service


@pytest.mark.parametrize("kept", BOTH)
async def test_a_service_that_ignores_a_condition_is_refused(kept: str) -> None:
    with Service(kept) as service:
        [ignored] = set(BOTH) - {kept}

        with pytest.raises(ConfigError, match=f"does not keep {ignored}:"):
            await open_files(service.url, io_timeout_ms=2000).append("a/log", b"1")

        assert service.objects == {}


async def test_a_service_that_keeps_its_conditions_is_asked_for_them_once(
    service: Service,
) -> None:
    await open_files(service.url, io_timeout_ms=2000).append("a", b"1")
    puts = service.puts

    await open_files(service.url, io_timeout_ms=2000).append("b", b"1")

    assert service.puts == puts + 1
    assert not [name for name in service.objects if name.startswith("probe")]


@pytest.mark.parametrize("status", [409, 412, 500, 503])
async def test_an_answer_that_others_were_there_or_none_is_looked_into(
    service: Service, status: int
) -> None:
    files = open_files(service.url, io_timeout_ms=2000)
    await files.append("a", b"one")
    service.answers = [status, status]

    assert await files.append("a", b"two", if_size=3) == 6

    service.answers = [status, status]
    await files.write("file", b"1")
    assert await files.read("a") == b"onetwo"
    assert await files.read("file") == b"1"


async def test_conflicts_without_an_end_are_given_up(service: Service) -> None:
    files = open_files(service.url, io_timeout_ms=200)
    await files.append("a", b"one")
    service.answers = [409] * 100_000

    with pytest.raises(UnavailableError) as caught:
        await files.append("a", b"two")

    assert not caught.value.unknown
    service.answers = []
    assert await files.read("a") == b"one"


async def test_what_the_service_calls_wrong_is_not_done_and_not_sent_again(
    service: Service,
) -> None:
    files = open_files(service.url, io_timeout_ms=5000)
    await files.append("a", b"one")
    puts = service.puts
    service.answers = [400] * 100

    with pytest.raises(UnavailableError, match="400") as caught:
        await files.append("a", b"two")

    assert not caught.value.unknown
    assert service.puts == puts + 1


@pytest.mark.parametrize("status", [412, 429, 503])
async def test_who_is_refused_again_and_again_waits_longer_each_time(
    service: Service, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest: list[float] = []

    async def sleep(seconds: float) -> None:
        longest.append(seconds)

    monkeypatch.setattr("session_store.engines.objects.patience.uniform", max)
    monkeypatch.setattr("session_store.engines.objects.patience.sleep", sleep)
    files = open_files(service.url, io_timeout_ms=10_000)
    await files.append("a", b"one")
    service.answers = [status] * 8
    assert await files.append("a", b"two", if_size=3) == 6
    of_files, longest[:] = longest[:], []
    async with SessionStore.open(service.url) as store:
        await store.init()
        service.answers = [status] * 8
        await store.resolve("k")

    for pauses in (of_files, longest):
        assert pauses == [0, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1]


async def test_a_full_service_is_told_from_one_that_fails(service: Service) -> None:
    files = open_files(service.url, io_timeout_ms=2000)
    await files.append("a", b"one")
    service.answers = [507]

    with pytest.raises(StorageFullError):
        await files.append("a", b"two")


async def test_a_store_of_a_newer_release_is_not_touched(service: Service) -> None:
    mark = b'{"format":2,"probed":""}\n'
    service.objects[MARK] = mark

    with pytest.raises(ConfigError, match="upgrade"):
        await SessionStore.open(service.url).resolve("k")

    assert service.objects == {MARK: mark}


async def test_what_is_not_of_this_library_is_not_touched(service: Service) -> None:
    service.objects[MARK] = b"a shop"

    with pytest.raises(ConfigError, match="not of this library"):
        await SessionStore.open(service.url).resolve("k")

    assert service.objects == {MARK: b"a shop"}


async def test_a_copy_on_another_service_is_asked_for_its_conditions_anew(
    service: Service,
) -> None:
    await open_files(service.url, io_timeout_ms=2000).append("a", b"1")
    with Service("If-Match") as other:
        other.objects |= service.objects

        with pytest.raises(ConfigError, match="If-None-Match"):
            await open_files(other.url, io_timeout_ms=2000).read("a")


def no_secret_in(error: BaseException, secret: str | None = None) -> None:
    secret = secret or os.environ["AWS_SECRET_ACCESS_KEY"]
    found: BaseException | None = error
    while found is not None:
        assert secret not in f"{found!r} {found} {found.__dict__}"
        # What a traceback shows.
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)


def refused_at(url: str, kind: type[Exception], said: str, secret: str | None = None) -> None:
    """Fail unless it is refused, with the reason and without the secret."""
    with (
        closing(BlockingStore.open(url, io_timeout_ms=2000)) as store,
        pytest.raises(kind, match=said) as caught,
    ):
        store.init()
    no_secret_in(caught.value, secret)


def test_wrong_keys_are_refused(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")

    refused_at(s3_url, ConfigError, "AWS_SECRET_ACCESS_KEY")

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    refused_at(s3_url, ConfigError, "InvalidAccessKeyId")


def test_a_bucket_that_is_not_there_is_told(s3_url: str) -> None:
    place = parse_url(s3_url)
    url = s3_url.replace(f"s3://{place.bucket}", "s3://no-such-bucket", 1)

    refused_at(url, ConfigError, "no bucket 'no-such-bucket'")


def test_a_service_that_nobody_runs_is_told() -> None:
    [port] = free_ports(1)

    refused_at(f"s3://bucket?endpoint=http://127.0.0.1:{port}", UnavailableError, "nobody answers")


def test_a_service_of_an_unknown_name_is_told() -> None:
    refused_at("s3://bucket?endpoint=http://no.such.host.invalid", UnavailableError, "nobody")


def test_without_keys_it_is_told_where_they_belong(
    monkeypatch: pytest.MonkeyPatch, service: Service
) -> None:
    secret = os.environ["AWS_SECRET_ACCESS_KEY"]
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(ConfigError, match=r"MissingAccessKeyId.*: set AWS_ACCESS_KEY_ID") as caught:
        open_files(service.url, io_timeout_ms=2000)
    no_secret_in(caught.value)

    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    # Where a machine in the cloud would be asked for its own.
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    refused_at(service.url, ConfigError, "no credentials: set AWS_ACCESS_KEY_ID", secret)


@pytest.mark.parametrize(
    ("url", "variable", "value"),
    [
        ("az://container", "AZURE_STORAGE_ACCOUNT_KEY", "hunter2 is no base64"),
        ("az://container", "AZURE_STORAGE_ACCOUNT_NAME", None),
        ("gs://bucket", "GOOGLE_SERVICE_ACCOUNT_KEY", "{hunter2"),
        ("gs://bucket", "GOOGLE_APPLICATION_CREDENTIALS", "/no/such/hunter2"),
    ],
)
def test_credentials_that_are_none_are_told_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, url: str, variable: str, value: str | None
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    if value is None:
        monkeypatch.delenv(variable)
    else:
        monkeypatch.setenv(variable, value)

    with pytest.raises(ConfigError, match="in the environment are no use") as caught:
        open_files(url, io_timeout_ms=2000)

    no_secret_in(caught.value, "hunter2")


@pytest.mark.parametrize(
    ("verb", "call", "said"),
    [
        ("GET", lambda bucket: bucket.get("a"), "may not read, or not list, in"),
        ("PUT", lambda bucket: bucket.put("a", b"1", None), "may not write in"),
        ("LIST", lambda bucket: anext(bucket.list("a")), "may not list in"),
        ("POST", lambda bucket: bucket.delete(["a"]), "may not delete in"),
    ],
)
async def test_the_right_that_is_missing_is_named(
    service: Service, verb: str, call: Callable[[Bucket], Any], said: str
) -> None:
    service.refused[verb] = (403, "AccessDenied")

    with pytest.raises(UnavailableError, match=f"{said} bucket 'bucket'") as caught:
        await call(Bucket(parse_url(service.url), 2000))

    assert not caught.value.unknown
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (301, "PermanentRedirect", "another region"),
        (400, "AuthorizationHeaderMalformed", "another region"),
        (400, "ExpiredToken", "have expired"),
        (403, "RequestTimeTooSkewed", "clock of this machine"),
        (403, "SignatureDoesNotMatch", "credentials are refused"),
        (404, "ContainerNotFound", "no bucket 'bucket'"),
    ],
)
def test_what_only_a_person_can_mend_is_told_so(
    service: Service, status: int, code: str, said: str
) -> None:
    service.refused |= dict.fromkeys(("GET", "PUT", "LIST", "POST"), (status, code))

    refused_at(service.url, ConfigError, said)


async def test_pages_go_on_where_each_listing_begins_at_the_first(service: Service) -> None:
    files = open_files(service.url, io_timeout_ms=2000)
    names = [f"{number}" for number in range(5)]
    for name in names:
        await files.append(f"a/{name}", b"1")

    found: list[str] = []
    after: str | None = ""
    for _ in names:
        page = await files.list("a", after=after or "", limit=1)
        found += page.names
        after = page.after

    assert found == names
    assert after is None


async def test_what_is_not_there_keeps_nothing_else_from_being_removed(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Removed one by one there, and the first that is missing ends it.
    account = dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
    account_key = json.dumps({**account, "disable_oauth": True})
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", account_key)
    url = service.url.replace("s3:", "gs:").replace("&region=us-east-1", "")
    service.objects |= {f"a{number}": b"" for number in range(40)}

    await Bucket(parse_url(url), 2000).delete([f"a{number}" for number in range(-20, 40)])

    assert service.objects == {}


class WithReader(SeaweedServer):
    """A service with somebody who may only read."""

    def prepare(self) -> None:
        super().prepare()
        path = self.data / "s3.json"
        config = json.loads(path.read_text())
        keys = [{"accessKey": "reader", "secretKey": "hunter2"}]
        reader = {"name": "reader", "credentials": keys, "actions": ["Read", "List"]}
        path.write_text(json.dumps({"identities": [*config["identities"], reader]}))


def test_keys_that_may_only_read_open_what_is_there(
    own_server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = own_server(WithReader)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with closing(BlockingStore.open(server.url)) as store:
        store.session("k").append("user", "hello")

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    with closing(BlockingStore.open(server.url)) as store:
        assert [said.content for said in store.session("k").messages()] == ["hello"]
        with pytest.raises(UnavailableError, match="AccessDenied") as caught:
            store.session("k").append("user", "more")
    no_secret_in(caught.value)


async def test_erasing_a_store_leaves_what_lies_beside_it(s3_url: str) -> None:
    url = place_in(s3_url, token_hex(6))
    async with SessionStore.open(url) as store:
        chat = await store.session("k")
        for number in range(3):
            await chat.append("user", "x" * 40_000 + str(number))
    bucket = Bucket(parse_url(url), 10_000)
    await bucket.overwrite("mine.txt", b"mine")

    await erase(url)

    found = [one.name async for some in bucket.list("") for one in some]
    assert found == ["mine.txt"]
    obstore.delete(bucket._writing, "mine.txt")
