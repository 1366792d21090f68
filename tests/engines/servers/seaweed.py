"""SeaweedFS, which speaks S3."""

import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Final

import obstore
from obstore.store import S3Store

from .base import Server, free_ports

KEY: Final = "test-key"
SECRET: Final = "test-secret"
BUCKET: Final = "sessions"
_PORTS: Final = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
    "admin.port",
    "admin.port.grpc",
)


class SeaweedServer(Server):
    """`weed mini`: everything in one process."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        keys = [{"accessKey": KEY, "secretKey": SECRET}]
        identity = {"name": "tests", "credentials": keys, "actions": actions}
        (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.ports['s3.port']}"

    @property
    def url(self) -> str:
        """The URL of its bucket; the keys are in the environment."""
        return f"s3://{BUCKET}?endpoint={self.endpoint}&region=us-east-1"

    def command(self) -> list[str]:
        options = {
            "dir": str(self.folder / "data"),
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.telemetry": "false",
            "bucket": BUCKET,
            **{name: str(port) for name, port in self.ports.items()},
            "s3.port.iceberg": "0",
            "s3.port.lance": "0",
            "webdav": "false",
            "admin.ui": "false",
            "s3.config": str(self.folder / "s3.json"),
            "filer.localSocket": str(self.folder / "f.sock"),
            "s3.localSocket": str(self.folder / "s.sock"),
        }
        (self.folder / "data").mkdir(exist_ok=True)
        weed = Path(sys.executable).parent / "weed"
        return [str(weed), "mini", *(f"-{name}={value}" for name, value in options.items())]

    def store(self) -> S3Store:
        """Return a bare client of its bucket."""
        return S3Store(
            BUCKET,
            endpoint=self.endpoint,
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
        # These it leaves in the system's folder, whatever it is told.
        for part in ("master", "volume", "filer", "s3", "admin"):
            port = self.ports[f"{part}.port.grpc"]
            Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock").unlink(missing_ok=True)


def environment() -> dict[str, str]:
    """Return the variables that hold the keys."""
    return {**os.environ, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
