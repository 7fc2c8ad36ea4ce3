"""`hatidata aws …`: what whoever deploys does once in the customer's own account, and checks there afterwards.

Uses the AWS credentials of the shell that it is run in; nothing of it is part of a running warehouse.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import show
from cli.exits import UsageWrong
from cli.options import JsonOption
from local.clock import SystemClock

app = typer.Typer(help="Provision and check a deployment in AWS.", no_args_is_help=True)

Region = Annotated[str, typer.Option("--region", help="The deployment's region.")]
Bucket = Annotated[str, typer.Option("--data-bucket", help="The data bucket's name.")]
Key = Annotated[str, typer.Option("--data-key", help="ARN of the data bucket's KMS key.")]
EnvironmentOption = Annotated[str, typer.Option("--environment", help="The environment that the nodes serve.")]


@app.command("seed")
def seed(region: Region, data_bucket: Bucket, data_key: Key, environment: EnvironmentOption = "production") -> None:
    """Make the seed of the nodes' cache volumes and lay it into the data bucket; nobody sees it in clear."""
    from aws.provision import lay_volume_seed

    print(f"laid s3://{data_bucket}/{lay_volume_seed(region, data_bucket, environment, data_key)}")


@app.command("identity")
def identity(
    region: Region,
    data_bucket: Bucket,
    data_key: Key,
    tls: Annotated[
        Path, typer.Option("--tls", help="Folder of ca.crt, server.crt, server.key, node.crt, node.key, signing.pub.")
    ],
    mask_key: Annotated[Path | None, typer.Option("--mask-key", help="File of 32 bytes for hmac masks.")] = None,
    environment: EnvironmentOption = "production",
) -> None:
    """Seal the nodes' certificates and mask key, and lay them into the data bucket."""
    from aws.node_identity import FILES, NodeIdentity
    from aws.provision import lay_identity

    try:
        files = {name: (tls / name).read_bytes() for name in FILES}
        secret = mask_key.read_bytes() if mask_key else b""
    except OSError as error:
        raise UsageWrong(f"{Path(str(error.filename or tls)).name} cannot be read.") from None
    laid = lay_identity(region, data_bucket, environment, data_key, NodeIdentity(files, secret))
    print(f"laid s3://{data_bucket}/{laid}")


@app.command("bootstrap")
def first_owner(
    region: Region,
    owner_email: Annotated[str, typer.Option("--owner-email")],
    name: Annotated[str, typer.Option("--name", help="The deployment's name.")] = "hatidata",
    organization: Annotated[str, typer.Option("--organization", help="The operator organization's name.")] = "Operator",
    organization_id: Annotated[str, typer.Option("--organization-id")] = "1",
    environment: EnvironmentOption = "production",
    mask_key: Annotated[
        Path | None, typer.Option("--mask-key", help="The file given to `hatidata aws identity`.")
    ] = None,
) -> None:
    """Set the control table up and print the Owner's key, once."""
    from aws.clients import client
    from aws.control_table import DynamoControlStore
    from lambdas.control_plane.bootstrap import bootstrap
    from local.mask_key import mask_key_id

    try:
        named = mask_key_id(mask_key.read_bytes()) if mask_key else ""
    except OSError:
        raise UsageWrong("The mask key cannot be read.") from None
    clock = SystemClock()
    store = DynamoControlStore(client("dynamodb", region), f"{name}-control", clock)
    try:
        key = bootstrap(
            store,
            environment=environment,
            organization_id=organization_id,
            organization_name=organization,
            owner_email=owner_email,
            clock=clock,
            mask_key_id=named,
        )
    finally:
        store.close()
    print(key)


@app.command("smoke")
def smoke(
    region: Region,
    account: Annotated[str, typer.Option("--account", help="The account's 12 digits.")],
    name: Annotated[str, typer.Option("--name", help="The deployment's name.")] = "hatidata",
    json: JsonOption = False,
) -> None:
    """Check what only a real account can answer; reads only. Ends with 1 when a check is not sound."""
    from aws.clients import client
    from aws.smoke import Smoke

    found = list(Smoke(lambda service: client(service, region), name, region, account).run(SystemClock().now()))
    if json:
        show.as_json([{"name": each.name, "sound": each.sound, "saw": each.saw} for each in found])
    else:
        for each in found:
            print(f"{'sound' if each.sound else 'WRONG'}  {each.name}: {each.saw}")
    if not all(each.sound for each in found):
        raise typer.Exit(1)
