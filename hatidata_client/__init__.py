"""A thin Python client of the control plane's REST API; needs httpx and nothing else of this project."""

from hatidata_client.client import Answer, Client, Lost, Refused, Unreachable, path

__all__ = ["Answer", "Client", "Lost", "Refused", "Unreachable", "path"]
