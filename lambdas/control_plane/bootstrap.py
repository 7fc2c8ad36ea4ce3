"""The first set-up of a store: the environments, the operator organization, its Owner and his key."""

from __future__ import annotations

from governance.admin_event import INSTALLATION, ORGANIZATION_CHAIN, AdminEvent, AdminEventType, Attribution
from governance.api_key import new_key, new_key_id, public_prefix
from governance.api_key_hash import hash_key
from governance.errors import Conflict, InvalidRequest
from governance.policies import SHARED
from governance.ports import Change, Clock, ControlReader, ControlStore
from governance.register import Environment, KeyRecord, Organization, UserRecord
from governance.roles import Role
from governance.scopes import Scope
from governance.timestamp import stamp
from lambdas.control_plane.models import EMAIL, ENVIRONMENT, NAME, ORGANIZATION_ID
from lambdas.control_plane.patterns import needs

OWNER_KEY_NAME = "owner"


def bootstrap(
    store: ControlStore,
    *,
    environment: str,
    organization_id: str,
    organization_name: str,
    owner_email: str,
    clock: Clock,
    mask_key_id: str = "",
) -> str:
    """Set the store up and return the Owner's key, which carries all 22 scopes and is shown only here.

    One transaction with its events. `production` always exists, beside `environment` when that is another.

    Args:
        store: empty.
        environment: the key's environment.
        organization_id: the operator organization's id.
        organization_name: its name.
        owner_email: the Owner's e-mail address, which is his id too.
        clock: the time.
        mask_key_id: names the key of `hmac` masks; the key itself lies elsewhere.

    Raises:
        InvalidRequest: a name or id that is not well formed.
        Conflict: the store was set up before.
    """
    needs(ENVIRONMENT, environment, "environment")
    needs(ORGANIZATION_ID, organization_id, "organization id")
    needs(NAME, organization_name, "organization name")
    needs(EMAIL, owner_email, "e-mail address")
    if organization_id == SHARED:
        raise InvalidRequest("The id `shared` is reserved.", advice="Choose another id.")
    now = stamp(clock.now())
    key = new_key(environment)
    organization = Organization(organization_id, organization_name, now, operator=True)
    owner = UserRecord(owner_email, owner_email, organization.id, Role.OWNER, now)
    record = KeyRecord(
        environment=environment,
        id=new_key_id(),
        name=OWNER_KEY_NAME,
        prefix=public_prefix(key),
        hash=hash_key(key),
        user_id=owner.id,
        organization=organization.id,
        scopes=frozenset(Scope),
        created_at=now,
        created_by=INSTALLATION.user_id,
    )
    environments = [
        Environment(name, mask_key_id=mask_key_id) for name in dict.fromkeys((ORGANIZATION_CHAIN, environment))
    ]

    def decide(reader: ControlReader) -> Change[str]:
        organizations = reader.every(Organization, "")
        if organizations:
            raise Conflict("This home is set up already.", advice="Use the key that was printed then.")
        settings = [
            AdminEvent(AdminEventType.ENVIRONMENT_UPDATED, e.name, organization.id, e.name, None, e.fact())
            for e in environments
        ]
        made = [
            AdminEvent(
                AdminEventType.ORGANIZATION_CREATED,
                ORGANIZATION_CHAIN,
                organization.id,
                organization.id,
                None,
                organization.fact(),
            ),
            AdminEvent(AdminEventType.USER_CREATED, ORGANIZATION_CHAIN, organization.id, owner.id, None, owner.fact()),
            AdminEvent(AdminEventType.KEY_CREATED, environment, organization.id, record.id, None, record.fact()),
        ]
        return Change(key, puts=(*environments, organization, owner, record), events=(*settings, *made))

    return store.change(Attribution(INSTALLATION, now), decide)
