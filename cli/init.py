"""`hatidata init`: prepare a home and print the Owner's key once."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cli import show
from cli.options import JsonOption
from local.certificates import ensure_certificates
from local.clock import SystemClock
from local.control_store import SqliteControlStore
from local.home import Home, HomeSettings
from local.mask_key import make_mask_key
from local.signing import ensure_public_key


def prepare_home(
    path: Path,
    *,
    organization_name: str,
    organization_id: str = "1",
    owner_email: str = "",
    environment: str = "production",
    tls_names: tuple[str, ...] = (),
) -> str:
    """Make a home at `path` and return the Owner's API key, which is kept nowhere else.

    Raises:
        Conflict: the folder is not empty.
        InvalidRequest: a value that cannot be.
    """
    from lambdas.control_plane.bootstrap import bootstrap  # late: no other verb waits for it

    clock = SystemClock()
    existed = path.exists()
    home = Home.create(path, HomeSettings(organization_id, organization_name, environment, tls_names))
    try:
        ensure_certificates(home.tls_path, names=tls_names, now=clock.now())
        ensure_public_key(home.store_path.parent, home.tls_path)
        mask_key_id = make_mask_key(home.node_path)
        store = SqliteControlStore(home.store_path)
        try:
            return bootstrap(
                store,
                environment=environment,
                organization_id=organization_id,
                organization_name=organization_name,
                owner_email=owner_email or f"owner@{organization_id}.invalid",
                clock=clock,
                mask_key_id=mask_key_id,
            )
        finally:
            store.close()
    except BaseException:
        for entry in home.path.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        if not existed:
            home.path.rmdir()
        raise


def init(
    home: Annotated[Path, typer.Option("--home", help="The folder to make; must not hold anything yet.")],
    org: Annotated[str, typer.Option("--org", help="The operator organization's name.")],
    org_id: Annotated[str, typer.Option("--org-id", help="Its id.")] = "1",
    owner_email: Annotated[str, typer.Option("--owner-email", help="The Owner's e-mail address.")] = "",
    tls_name: Annotated[
        list[str] | None, typer.Option("--tls-name", help="A host name or address clients use beside localhost.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Prepare a home folder and print the Owner's API key, once."""
    key = prepare_home(
        home,
        organization_name=org,
        organization_id=org_id,
        owner_email=owner_email,
        tls_names=tuple(tls_name or ()),
    )
    if json:
        show.as_json({"owner_key": key})
        return
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(f"The home of {org} is ready.")
    console.print("The Owner's API key, shown this once:")
    console.print(f"\n    {key}\n")
    console.print(f"Next: hatidata serve --home {home} --data PATH")
