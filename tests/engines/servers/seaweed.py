"""SeaweedFS, which speaks S3."""

import json
import sysconfig
from datetime import timedelta
from pathlib import Path
from typing import Final

import obstore
from obstore.store import S3Store

from .base import Server, free_ports

KEY: Final = "test-key"
SECRET: Final = "test-secret"
BUCKET: Final = "sessions"
ENVIRONMENT: Final = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
"""Where a store finds the keys: they do not belong in a URL."""

_PARTS: Final = ("master", "volume", "filer", "s3", "admin")
_PORTS: Final = tuple(f"{part}.port{kind}" for part in _PARTS for kind in ("", ".grpc"))


class SeaweedServer(Server):
    """`weed mini`: everything in one process."""

    variable = "SESSION_STORE_TEST_S3"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))

    @classmethod
    def program(cls) -> str:
        return str(Path(sysconfig.get_path("scripts"), "weed"))

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.ports['s3.port']}"

    @property
    def url(self) -> str:
        """The URL of its bucket; the keys are in `ENVIRONMENT`."""
        return f"s3://{BUCKET}?endpoint={self.endpoint}&region=us-east-1"

    def prepare(self) -> None:
        super().prepare()
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        keys = [{"accessKey": KEY, "secretKey": SECRET}]
        identity = {"name": "tests", "credentials": keys, "actions": actions}
        (self.data / "s3.json").write_text(json.dumps({"identities": [identity]}))

    def command(self) -> list[str]:
        options = {
            "dir": str(self.data),
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.telemetry": "false",
            "bucket": BUCKET,
            **{name: str(port) for name, port in self.ports.items()},
            "s3.port.iceberg": "0",
            "s3.port.lance": "0",
            "webdav": "false",
            "admin.ui": "false",
            "s3.config": str(self.data / "s3.json"),
            "filer.localSocket": str(self.data / "f.sock"),
            "s3.localSocket": str(self.data / "s.sock"),
        }
        given = [f"-{name}={value}" for name, value in options.items()]
        return [self.program(), "-logtostderr=true", "mini", *given]

    def store(self, port: int | None = None) -> S3Store:
        """Return a bare client of its bucket, at another port if a proxy stands there."""
        return S3Store(
            BUCKET,
            endpoint=f"http://127.0.0.1:{port or self.ports['s3.port']}",
            access_key_id=KEY,
            secret_access_key=SECRET,
            region="us-east-1",
            virtual_hosted_style_request=False,
            client_options={"allow_http": True, "timeout": "5s"},
            retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=20)},
        )

    def is_ready(self) -> bool:
        obstore.put(self.store(), "ready", b"yes")
        return True

    def kill(self) -> None:
        super().kill()
        for socket in self.sockets():
            socket.unlink(missing_ok=True)

    def sockets(self) -> list[Path]:
        """Return the files that it leaves in the system's folder, whatever it is told."""
        ports = {part: self.ports[f"{part}.port.grpc"] for part in _PARTS}
        return [Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock") for part, port in ports.items()]
