-- A store as version 1 left it (dump of a file made by that code).
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE chain (
  environment TEXT NOT NULL, sequence INTEGER NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL, line TEXT NOT NULL,
  PRIMARY KEY (environment, sequence), UNIQUE (environment, previous), UNIQUE (hash)
) STRICT;
INSERT INTO "chain" VALUES('production',1,'e45125be1fc8373c4c6f32e22c7bbed741ad5574a4cb0210acfc879817c695d2','8e6676280b7c4068cb48413201da2047c76791a571b8723e70e85928a8a468f2','{"actor":{"key_id":"","organization":"","role":"","user_id":"hatidata"},"after":{"id":"org-1","name":"Firm 1","status":"active"},"at":"2026-11-22T03:00:00.000000Z","before":null,"environment":"production","hash":"8e6676280b7c4068cb48413201da2047c76791a571b8723e70e85928a8a468f2","organization":"org-1","previous":"e45125be1fc8373c4c6f32e22c7bbed741ad5574a4cb0210acfc879817c695d2","request_id":"","sequence":1,"source_ip":"","target":"org-1","type":"organization.created","v":1}');
INSERT INTO "chain" VALUES('production',2,'8e6676280b7c4068cb48413201da2047c76791a571b8723e70e85928a8a468f2','a3604b4d5e8c20243c20f1a8df70f9695f20e238a0191863567eee5357cfa104','{"actor":{"key_id":"","organization":"","role":"","user_id":"hatidata"},"after":{"id":"org-2","name":"Firm 2","status":"active"},"at":"2026-11-22T03:00:00.000000Z","before":null,"environment":"production","hash":"a3604b4d5e8c20243c20f1a8df70f9695f20e238a0191863567eee5357cfa104","organization":"org-2","previous":"8e6676280b7c4068cb48413201da2047c76791a571b8723e70e85928a8a468f2","request_id":"","sequence":2,"source_ip":"","target":"org-2","type":"organization.created","v":1}');
CREATE TABLE item (
  kind TEXT NOT NULL, environment TEXT NOT NULL, id TEXT NOT NULL,
  unique_name TEXT, lookup TEXT, body TEXT NOT NULL,
  PRIMARY KEY (kind, environment, id)
) STRICT, WITHOUT ROWID;
INSERT INTO "item" VALUES('environment','','production',NULL,NULL,'{"v":1,"name":"production","limits":{"statement_timeout_s":300.0,"rulebook_age_max_s":300.0,"result_rows_max":0,"cache_generation":0},"mask_key_id":"","retention_days":2557}');
INSERT INTO "item" VALUES('organization','','org-1',NULL,NULL,'{"v":1,"id":"org-1","name":"Firm 1","status":"active","created_at":"2026-11-22T03:00:00.000000Z","operator":false}');
INSERT INTO "item" VALUES('organization','','org-2',NULL,NULL,'{"v":1,"id":"org-2","name":"Firm 2","status":"active","created_at":"2026-11-22T03:00:00.000000Z","operator":false}');
CREATE TABLE law_version (environment TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "law_version" VALUES('production',2);
CREATE UNIQUE INDEX item_unique ON item (kind, environment, unique_name) WHERE unique_name IS NOT NULL;
CREATE UNIQUE INDEX item_lookup ON item (kind, lookup) WHERE lookup IS NOT NULL;
CREATE TRIGGER chain_no_update BEFORE UPDATE ON chain BEGIN SELECT RAISE(ABORT, 'the chain is append-only'); END;
CREATE TRIGGER chain_no_delete BEFORE DELETE ON chain BEGIN SELECT RAISE(ABORT, 'the chain is append-only'); END;
COMMIT;
