"""The door of the `hatidata` command. Each verb is a few lines; how it ends is decided in `cli.exits`."""

from __future__ import annotations

import os
import sys

import typer

from cli import (
    access,
    admin_audit,
    audit_literal,
    audit_proof,
    audit_restore,
    backup,
    cache,
    cloud,
    encryption_keys,
    environments,
    identity,
    init,
    invitations,
    keys,
    organizations,
    policies,
    reviews,
    schemas,
    serve,
    state,
    usage,
    users,
    views,
    webhooks,
)
from cli.demo import verb as demo
from cli.exits import INTERRUPTED, Unreachable, UsageWrong, explain
from governance.errors import Refusal

app = typer.Typer(
    name="hatidata",
    help="A governed data warehouse: PostgreSQL clients in front, Parquet behind, the law in between.",
    epilog="Exit codes: 0 done, 1 refused, 2 wrong usage, 3 the control plane is not reachable.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("init")(init.init)
app.command("serve")(serve.serve)
app.command("apply")(state.apply)
app.command("demo")(demo.demo)
app.command("whoami")(identity.whoami)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore_home)
app.add_typer(organizations.app, name="organizations")
app.add_typer(environments.app, name="environments")
app.add_typer(schemas.app, name="schemas")
app.add_typer(users.app, name="users")
app.add_typer(invitations.app, name="invitations")
app.add_typer(access.app, name="access")
app.add_typer(reviews.app, name="reviews")
app.add_typer(keys.app, name="keys")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(encryption_keys.app, name="encryption-keys")
app.add_typer(policies.app, name="policies")
app.add_typer(views.app, name="views")
audit_proof.add_to(admin_audit.app)
audit_literal.add_to(admin_audit.app)
audit_restore.add_to(admin_audit.app)
app.add_typer(admin_audit.app, name="audit")
app.add_typer(cache.app, name="cache")
app.add_typer(cloud.app, name="aws")
app.add_typer(usage.quotas, name="quotas")
app.command("usage")(usage.usage)


def main() -> None:
    """Run the command line and exit as `cli.exits` says."""
    try:
        app()
    except (Refusal, UsageWrong, Unreachable) as error:
        sys.exit(explain(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # whoever read the output has gone; nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


if __name__ == "__main__":
    main()
