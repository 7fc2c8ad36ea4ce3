"""Sample tables of two organizations, as Parquet, the same on every run.

    sales.customers  60,000   shared schema; `org_id` says whose each row is
    sales.orders    240,000   shared schema
    sales.payments  240,000   shared schema
    acme.contracts      400   Acme's own
    globex.prices       300   Globex's own

Nobody in it is real: names are drawn from lists, addresses end in `.example`, telephone numbers are 555-01xx, card
numbers carry a right check digit under a made-up issuer.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

CUSTOMERS = 60_000
ORDERS = 240_000
PAYMENTS = 240_000

# The Luhn sum of a 15-digit number: each digit at an even place from the right counts double, less 9 past 9.
_LUHN_SUM = " + ".join(
    f"(n // {10**place} % 10)"
    if place % 2
    else f"CASE WHEN n // {10**place} % 10 > 4 THEN n // {10**place} % 10 * 2 - 9 ELSE n // {10**place} % 10 * 2 END"
    for place in range(15)
)

_MACROS = f"""
CREATE MACRO draw(i, salt, n) AS CAST(hash(i * 7919 + salt) % n AS BIGINT);
CREATE MACRO pick(i, salt, names) AS names[draw(i, salt, len(names)) + 1];
CREATE MACRO digits(i, salt, n) AS lpad(CAST(draw(i, salt, CAST(power(10, n) AS BIGINT)) AS VARCHAR), n, '0');
CREATE MACRO cents(n) AS CAST(n AS DECIMAL(14,2)) * CAST(0.01 AS DECIMAL(3,2));
CREATE MACRO card(i, salt) AS CAST(400000000000000 + draw(i, salt, 1000000000) AS BIGINT);
CREATE MACRO luhn(n) AS n || CAST((10 - ({_LUHN_SUM}) % 10) % 10 AS VARCHAR);
"""

_FIRST = (
    "['Ana','Bo','Chidi','Dana','Emeka','Farah','Goran','Hana','Ines','Jonas','Kemi','Lars','Mina','Noor','Oleg','Pia']"
)
_LAST = (
    "['Adler','Brandt','Costa','Diallo','Eriksen','Fischer','Gupta','Haas','Ivanova','Jensen','Kaya','Lopez','Meyer']"
)

_TABLES = {
    "sales/customers": f"""
        SELECT i AS customer_id,
               CASE WHEN draw(i, 1, 5) < 3 THEN 1 ELSE 2 END AS org_id,
               pick(i, 2, {_FIRST}) || ' ' || pick(i, 3, {_LAST}) AS name,
               lower(pick(i, 2, {_FIRST})) || '.' || i || CASE WHEN draw(i, 1, 5) < 3
                   THEN '@acme.example' ELSE '@globex.example' END AS email,
               lpad(CAST(100 + draw(i, 4, 565) AS VARCHAR), 3, '0') || '-' ||
                   lpad(CAST(1 + draw(i, 5, 99) AS VARCHAR), 2, '0') || '-' ||
                   lpad(CAST(1 + draw(i, 6, 9999) AS VARCHAR), 4, '0') AS ssn,
               '+1-' || (201 + draw(i, 7, 700)) || '-555-01' || digits(i, 8, 2) AS phone,
               luhn(card(i, 9)) AS card_number,
               ['emea','amer','apac'][draw(i, 10, 3) + 1] AS region,
               draw(i, 11, 10) < 4 AS ai_consent,
               CAST(cents(draw(i, 12, 2000000)) AS DECIMAL(12,2)) AS balance,
               DATE '2019-01-01' + CAST(draw(i, 13, 2000) AS INTEGER) AS joined_on
        FROM range(1, {CUSTOMERS} + 1) r(i)""",
    "sales/orders": f"""
        SELECT i AS order_id,
               CASE WHEN draw(customer, 1, 5) < 3 THEN 1 ELSE 2 END AS org_id,
               customer AS customer_id,
               ['emea','amer','apac'][draw(customer, 10, 3) + 1] AS region,
               pick(i, 21, ['ledger','scanner','sensor','cable','licence','support']) AS product,
               CAST(1 + draw(i, 22, 12) AS INTEGER) AS quantity,
               CAST(cents(100 + draw(i, 23, 250000)) AS DECIMAL(12,2)) AS amount,
               TIMESTAMP '2024-01-01' + to_minutes(draw(i, 24, 1000000)) AS ordered_at
        FROM (SELECT i, 1 + draw(i, 20, {CUSTOMERS}) AS customer FROM range(1, {ORDERS} + 1) r(i))""",
    "sales/payments": f"""
        SELECT i AS payment_id, i AS order_id,
               CASE WHEN draw(customer, 1, 5) < 3 THEN 1 ELSE 2 END AS org_id,
               luhn(card(customer, 9)) AS card_number,
               CAST(cents(100 + draw(i, 23, 250000)) AS DECIMAL(12,2)) AS amount,
               pick(i, 31, ['settled','settled','settled','refunded','disputed']) AS status,
               TIMESTAMP '2024-01-02' + to_minutes(draw(i, 24, 1000000)) AS paid_at
        FROM (SELECT i, 1 + draw(i, 20, {CUSTOMERS}) AS customer FROM range(1, {PAYMENTS} + 1) r(i))""",
    "acme/contracts": """
        SELECT i AS contract_id, pick(i, 41, ['ledger','scanner','sensor','cable']) AS product,
               CAST(1000 + draw(i, 42, 90000) AS DECIMAL(12,2)) AS value
        FROM range(1, 401) r(i)""",
    "globex/prices": """
        SELECT i AS price_id, pick(i, 51, ['ledger','scanner','sensor','cable','licence','support']) AS product,
               CAST(5 + draw(i, 52, 900) AS DECIMAL(12,2)) AS price
        FROM range(1, 301) r(i)""",
}


def write_samples(lake: Path) -> None:
    """Write the tables as `<schema>/<table>.parquet` under the folder `lake`."""
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(_MACROS)
        for name, query in _TABLES.items():
            target = lake / f"{name}.parquet"
            target.parent.mkdir(parents=True, exist_ok=True)
            quoted = str(target).replace("'", "''")
            connection.execute(f"COPY ({query}) TO '{quoted}' (FORMAT parquet, ROW_GROUP_SIZE 30720)")
