"""pg_catalog and information_schema, emulated: what this principal may see, asked in PostgreSQL's SQL.

The way of a catalog query (docs/catalog.md has the whole story):

    is_catalog_query(text)                     # is it ours? pure, cached
    statement = translate(text, declared_oids) # typed DuckDB text, result columns, parameter types; or a Refusal
    image = image_of(catalog, user)            # the principal's part of the lake, as plain data
    await executor.run_catalog(image, statement, session, parameters=..., formats=..., deadline_s=...)

Nothing here imports DuckDB; `engine.executor.catalog_instance` runs the text in a worker.
"""

from engine.catalog.emulation.image import CatalogImage, build
from engine.catalog.emulation.recognition import is_catalog_query
from engine.catalog.emulation.statement import CatalogColumn, CatalogStatement, PeerInfo, SessionInfo, translate

__all__ = [
    "CatalogColumn",
    "CatalogImage",
    "CatalogStatement",
    "PeerInfo",
    "SessionInfo",
    "build",
    "is_catalog_query",
    "translate",
]
