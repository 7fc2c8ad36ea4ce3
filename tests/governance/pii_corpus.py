"""Statements with personal data in them, in many countries' forms, and ordinary statements with none."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from faker import Faker

LOCALES = (
    "cs_CZ", "da_DK", "de_DE", "el_GR", "en_AU", "en_CA", "en_GB", "en_IN", "en_US", "es_ES", "es_MX", "fi_FI",
    "fr_FR", "it_IT", "ja_JP", "ko_KR", "nl_NL", "no_NO", "pl_PL", "pt_BR", "ru_RU", "sv_SE", "tr_TR", "zh_CN",
)  # fmt: skip
_CODES = (1, 7, 20, 27, 31, 33, 34, 39, 44, 46, 48, 49, 52, 55, 61, 81, 86, 90, 91, 351, 353, 420, 971)

_ANYWHERE = (
    "SELECT * FROM people WHERE c = '{}'",
    "SELECT 1 -- asked by {}\n",
    "SELECT /* {} */ 1",
    "INSERT INTO t VALUES (7, '{}', DATE '2024-01-15', 12.50)",
    'SELECT x AS "{}" FROM t',
    "SELECT * FROM t WHERE note LIKE '%{}%' AND amount > 100",
)
_ABOUT_PHONES = ("SELECT * FROM people WHERE phone = '{}'", "UPDATE t SET mobile_number = '{}' WHERE id = 5")
_ABOUT_SSNS = ("SELECT * FROM people WHERE ssn = '{}'", "INSERT INTO t (social_security_number) VALUES ({})")


@dataclass(frozen=True)
class Case:
    kind: str
    value: str
    sql: str


def personal(seed: int, each: int) -> Iterator[Case]:
    """`each` values of every kind for every locale."""
    rng = random.Random(seed)
    american = Faker("en_US")
    american.seed_instance(seed)
    for number, locale in enumerate(LOCALES):
        fake = Faker(locale)
        fake.seed_instance(seed + number)
        for _ in range(each):
            for kind, value in (
                ("email", fake.email()),
                ("email", fake.ascii_company_email()),
                ("card", fake.credit_card_number()),
                ("card_grouped", _grouped(rng, american.credit_card_number("visa16"))),
                ("ssn", american.ssn()),
                ("phone", fake.phone_number()),
                ("phone_international", _international(rng)),
            ):
                yield Case(kind, value, rng.choice(_ANYWHERE).format(value))
            value = fake.phone_number()
            yield Case("phone_in_context", value, rng.choice(_ABOUT_PHONES).format(value))
            value = american.ssn().replace("-", "")
            yield Case("ssn_in_context", value, rng.choice(_ABOUT_SSNS).format(value))


def _grouped(rng: random.Random, number: str) -> str:
    return rng.choice(" -.").join(number[at : at + 4] for at in range(0, 16, 4))


def _international(rng: random.Random) -> str:
    code = str(rng.choice(_CODES))
    rest = "".join(rng.choice("123456789") for _ in range(rng.randint(8, 14 - len(code))))
    gap = rng.choice(["", " ", "-", "."])
    return f"+{code}{gap}{rest[:3]}{gap}{rest[3:6]}{gap}{rest[6:]}"


def ordinary(seed: int, count: int) -> Iterator[str]:
    """Statements with numbers, dates, moments, versions, identifiers of machines, and no personal data."""
    rng = random.Random(seed)

    def literal() -> str:
        day = f"{rng.randint(1970, 2035)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
        clock = f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}:{rng.randint(0, 59):02d}"
        return rng.choice(
            (
                str(rng.randint(0, 10 ** rng.randint(1, 9))),
                str(rng.randint(10**9, 10**11)),
                str(rng.randint(1_000_000_000, 1_999_999_999)),
                str(rng.randint(1_000_000_000_000, 1_999_999_999_999)),
                str(rng.randint(1_000_000_000_000_000, 1_999_999_999_999_999)),
                f"{rng.uniform(-1e6, 1e6):.2f}",
                f"{rng.uniform(0, 1):.16f}",
                f"{rng.uniform(0, 1e9):.6f}",
                f"{rng.uniform(0, 1):.6e}",
                f"'{day}'",
                f"DATE '{day}'",
                f"TIMESTAMP '{day} {clock}'",
                f"TIMESTAMP '{day}T{clock}.{rng.randint(0, 999999):06d}+02:00'",
                f"'{day[8:]}/{day[5:7]}/{day[:4]}'",
                f"'{day[8:]}.{day[5:7]}.{day[:4]} {clock}'",
                f"'{day.replace('-', '')}'",
                f"TIME '{clock}'",
                f"INTERVAL '{rng.randint(1, 400)} days'",
                f"'{uuid.UUID(int=rng.getrandbits(128))}'",
                f"'{rng.getrandbits(256):064x}'",
                f"'{rng.randint(1, 255)}.{rng.randint(0, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}'",
                f"'v{rng.randint(0, 30)}.{rng.randint(0, 30)}.{rng.randint(0, 300)}'",
                f"'SKU-{rng.randint(1000, 99999)}-{rng.choice('ABC')}'",
                f"'{rng.randint(10000, 99999)}-{rng.randint(1000, 9999)}'",
                f"'{rng.uniform(-90, 90):.6f},{rng.uniform(-180, 180):.6f}'",
                "'emea'",
            )
        )

    for _ in range(count):
        yield rng.choice(
            (
                "SELECT a, b FROM s.t WHERE c = {} AND d BETWEEN {} AND {}",
                "SELECT sum(x * {} + {}) FROM t GROUP BY y HAVING count(*) > {}",
                "SELECT * FROM t WHERE id IN ({}, {}, {}) -- report of the week",
                "INSERT INTO t VALUES ({}, {}, {})",
            )
        ).format(literal(), literal(), literal())
