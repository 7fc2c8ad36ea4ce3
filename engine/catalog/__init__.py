"""What exists: the lake, the part of it one principal may see, and PostgreSQL's catalogs made from that part."""
