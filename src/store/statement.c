/* SPDX-License-Identifier: Apache-2.0 */
/*
 * statement.c: every SQL statement, prepared once; values only ever bound.
 *
 * Runs in: store. Trusts: nothing: column types and lengths are checked.
 * Owns: the prepared statements. Invariants: a statement is reset, and its
 * bindings forgotten, before it is used again; no SQL is made at run time.
 * See: internal.h.
 */
#include "internal.h"

#define OBJECT                                                                                   \
	"SELECT id, key, version, kind, created_s, updated_s, expires_s, size, hash, tag, value" \
	" FROM objects WHERE user = ?1"
#define ITEM                                                                     \
	"SELECT id, key, response, conversation, output, hash, value FROM items" \
	" WHERE user = ?1"
#define USAGE                                                           \
	"SELECT usage.key, keys.id, keys.user, usage.model,"            \
	" sum(requests), sum(errors), sum(tokens_in), sum(tokens_out)," \
	" sum(estimated), sum(estimated_in), sum(estimated_out),"       \
	" sum(cached_in), sum(cache_written_in), sum(reasoning_out)"

static const char *const texts[SQL_COUNT] = {
	[SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",
	[SQL_KEK_ADD] = "INSERT INTO keks (version, wrapped, wrapper) VALUES (?1, ?2, ?3)",
	[SQL_KEK_GET] = "SELECT wrapped, wrapper FROM keks WHERE version = ?1",
	[SQL_KEK_NEWEST] = "SELECT version FROM keks ORDER BY version DESC LIMIT 1",
	[SQL_KEK_NEXT] = "SELECT version, wrapper, wrapped FROM keks WHERE version > ?1"
			 " ORDER BY version LIMIT 1",
	[SQL_KEK_SET] = "UPDATE keks SET wrapped = ?2, wrapper = ?3 WHERE version = ?1",
	[SQL_TENANT_KEY_ADD] = "INSERT INTO tenant_keys (tenant, version, kek, wrapped)"
			       " VALUES (?1, ?2, ?3, ?4)",
	[SQL_TENANT_KEY_GET] = "SELECT id, version, kek, wrapped FROM tenant_keys"
			       " WHERE id = ?1 AND tenant = ?2",
	[SQL_TENANT_KEY_NEWEST] = "SELECT id, version, kek, wrapped FROM tenant_keys"
				  " WHERE tenant = ?1 ORDER BY version DESC LIMIT 1",
	[SQL_TENANT_KEY_SET] = "UPDATE tenant_keys SET kek = ?2, wrapped = ?3 WHERE id = ?1",
	[SQL_USER_KEY_ADD] = "INSERT INTO user_keys (user, version, tenant_key, wrapped)"
			     " VALUES (?1, ?2, ?3, ?4)",
	[SQL_USER_KEY_GET] = "SELECT user_keys.id, user_keys.version, users.tenant,"
			     " user_keys.tenant_key, user_keys.wrapped"
			     " FROM user_keys JOIN users ON users.id = user_keys.user"
			     " WHERE user_keys.id = ?1 AND user_keys.user = ?2",
	[SQL_USER_KEY_NEWEST] = "SELECT user_keys.id, user_keys.version, users.tenant,"
				" user_keys.tenant_key, user_keys.wrapped, users.state"
				" FROM users LEFT JOIN user_keys ON user_keys.user = users.id"
				" WHERE users.id = ?1 ORDER BY user_keys.version DESC LIMIT 1",
	[SQL_USER_KEY_SET] = "UPDATE user_keys SET tenant_key = ?2, wrapped = ?3 WHERE id = ?1",
	[SQL_USER_KEYS_REMOVE] = "DELETE FROM user_keys WHERE user = ?1",
	[SQL_ROTATION_GET] =
	    "SELECT started_s, ended_s, tenant_mark, user_mark, unopened FROM rotations"
	    " WHERE what = ?1",
	[SQL_ROTATION_BEGIN] = "INSERT INTO rotations (what, started_s, ended_s, tenant_mark,"
			       " user_mark) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (what)"
			       " DO UPDATE SET started_s = ?2, ended_s = ?3, tenant_mark = ?4,"
			       " user_mark = ?5, unopened = 0",
	[SQL_ROTATION_END] = "UPDATE rotations SET ended_s = ?2, unopened = ?3 WHERE what = ?1",
	[SQL_ROTATION_MARKS] = "SELECT (SELECT coalesce(max(id), 0) FROM tenant_keys),"
			       " (SELECT coalesce(max(id), 0) FROM user_keys)",
	[SQL_OLD_TENANT_WRAP] = "SELECT id, tenant, version FROM tenant_keys"
				" WHERE kek < ?1 AND id > ?2 ORDER BY id LIMIT 1",
	[SQL_OLD_SECRET] = "SELECT name FROM secrets WHERE kek < ?1 LIMIT 1",
	[SQL_SECRET_SET] = "UPDATE secrets SET kek = ?2, value = ?3 WHERE name = ?1",
	[SQL_KEKS_RETIRE] = "DELETE FROM keks WHERE version < ?1 AND NOT EXISTS"
			    " (SELECT 1 FROM tenant_keys WHERE kek = keks.version)"
			    " AND NOT EXISTS (SELECT 1 FROM secrets WHERE kek = keks.version)",
	[SQL_TENANT_AFTER] = "SELECT id, (SELECT max(version) FROM tenant_keys"
			     " WHERE tenant = tenants.id), (SELECT max(id) FROM tenant_keys"
			     " WHERE tenant = tenants.id)"
			     " FROM tenants WHERE id > ?1 ORDER BY id LIMIT 1",
	[SQL_USER_AFTER] = "SELECT id, (SELECT max(id) FROM user_keys WHERE user = users.id)"
			   " FROM users WHERE id > ?1 AND state < 2 ORDER BY id LIMIT 1",
	[SQL_OLD_USER_KEY] = "SELECT id, user FROM user_keys WHERE id > ?1 AND id <= ?2"
			     " ORDER BY id LIMIT 1",
	[SQL_USER_KEY_REMOVE] = "DELETE FROM user_keys WHERE id = ?1",
	[SQL_OLD_USER_WRAP] = "SELECT user_keys.id, user_keys.user, user_keys.version,"
			      " users.tenant FROM user_keys"
			      " JOIN users ON users.id = user_keys.user"
			      " WHERE user_keys.tenant_key <= ?1 AND user_keys.id > ?2"
			      " ORDER BY user_keys.id LIMIT 1",
	[SQL_TENANT_KEYS_RETIRE] = "DELETE FROM tenant_keys WHERE id <= ?1 AND NOT EXISTS"
				   " (SELECT 1 FROM user_keys WHERE tenant_key = tenant_keys.id)"
				   " AND NOT EXISTS"
				   " (SELECT 1 FROM tenants WHERE key = tenant_keys.id)",
	[SQL_COUNT_KEKS] = "SELECT count(*) FROM keks",
	[SQL_COUNT_KEK_FOREIGN] = "SELECT count(*) FROM keks WHERE wrapper <> ?1",
	[SQL_COUNT_SECRETS] = "SELECT count(*) FROM secrets",
	[SQL_COUNT_KEK_LEFT] = "SELECT (SELECT count(*) FROM tenant_keys WHERE kek < ?1)"
			       " + (SELECT count(*) FROM secrets WHERE kek < ?1)",
	[SQL_COUNT_USER_LEFT] = "SELECT count(*) FROM user_keys WHERE id <= ?1",
	[SQL_COUNT_TENANT_LEFT] = "SELECT count(*) FROM tenant_keys WHERE id <= ?1",
	[SQL_TENANT_FIND] = "SELECT id FROM tenants WHERE name_hash = ?1",
	[SQL_TENANT_ADD] = "INSERT INTO tenants (id, name_hash, key, name) VALUES (?1, ?2, 0, x'')",
	[SQL_TENANT_SET] = "UPDATE tenants SET key = ?2, name = ?3 WHERE id = ?1",
	[SQL_TENANT_GET] = "SELECT key, name, name_hash FROM tenants WHERE id = ?1",
	[SQL_USER_FIND] = "SELECT id FROM users WHERE tenant = ?1 AND name_hash = ?2",
	[SQL_USER_ADD] = "INSERT INTO users (id, tenant, name_hash, key, version, value, roles,"
			 " state, hold) VALUES (?1, ?2, ?3, 0, 0, x'', 0, 0, 0)",
	[SQL_USER_SET] = "UPDATE users SET key = ?2, version = ?3, value = ?4, roles = ?5,"
			 " state = ?6, hold = ?7 WHERE id = ?1",
	[SQL_USER_GET] = "SELECT id, tenant, key, version, value, roles, state, hold, name_hash"
			 " FROM users WHERE id = ?1",
	[SQL_USER_NEXT] = "SELECT id, tenant, key, version, value, roles, state, hold, name_hash"
			  " FROM users WHERE id > ?1 ORDER BY id LIMIT 1",
	/* The name may come again; who had it cannot be asked for any more. */
	[SQL_USER_ERASE] = "UPDATE users SET name_hash = randomblob(32), key = 0, value = x'',"
			   " roles = 0, state = 2, hold = 0 WHERE id = ?1",
	[SQL_KEY_IS] = "SELECT 1 FROM keys WHERE id = ?1",
	[SQL_KEY_FIND] = "SELECT n, id, user, key, version, pepper, value FROM keys WHERE id = ?1",
	[SQL_KEY_ADD] = "INSERT INTO keys (n, id, user, key, version, pepper, value, last_used_s)"
			" VALUES (?1, ?2, ?3, 0, 0, 0, x'', 0)",
	[SQL_KEY_SET] = "UPDATE keys SET key = ?2, version = ?3, pepper = ?4, value = ?5"
			" WHERE n = ?1",
	[SQL_KEY_USED] = "UPDATE keys SET last_used_s = ?2 WHERE id = ?1 AND last_used_s < ?2",
	[SQL_KEY_NEXT] = "SELECT n, id, user, key, version, pepper, value, last_used_s FROM keys"
			 " WHERE n > ?1 ORDER BY n LIMIT 1",
	[SQL_KEY_REMOVE] = "DELETE FROM keys WHERE n = ?1",
	/* Numbers come again, or do not: what counts is what is there. */
	[SQL_COUNT_KEYS] = "SELECT count(*) FROM keys",
	[SQL_COUNT_USERS] = "SELECT (SELECT count(*) FROM users)"
			    " - (SELECT count(*) FROM users WHERE state = 2)",
	[SQL_SECRET_FIND] = "SELECT kek, value FROM secrets WHERE name = ?1",
	[SQL_SECRET_ADD] = "INSERT INTO secrets (name, kek, value) VALUES (?1, ?2, ?3)",
	[SQL_SECRET_KEEP] = "INSERT INTO secrets (name, kek, value) VALUES (?1, ?2, ?3)"
			    " ON CONFLICT (name) DO UPDATE SET kek = ?2, value = ?3",
	[SQL_DAYS_TRIM] = "DELETE FROM secrets WHERE name GLOB 'day:*' AND name NOT IN"
			  " (SELECT name FROM secrets WHERE name GLOB 'day:*'"
			  "  ORDER BY name DESC LIMIT ?1)",
	[SQL_DAY_NEWEST] = "SELECT name FROM secrets WHERE name GLOB 'day:*'"
			   " ORDER BY name DESC LIMIT 1",
	[SQL_FILE_FIND] = "SELECT version, value, previous_version, previous, set_s"
			  " FROM file_secrets WHERE name = ?1 AND value IS NOT NULL",
	[SQL_FILE_COUNT] = "SELECT count(*) FROM file_secrets",
	/* A name that was removed goes on counting: no version comes twice. */
	[SQL_FILE_PUT] = "INSERT INTO file_secrets (name, version, set_s, value, previous_version,"
			 " previous) VALUES (?1, 1, ?3, ?2, 0, NULL)"
			 " ON CONFLICT (name) DO UPDATE SET version = version + 1, set_s = ?3,"
			 " value = ?2, previous_version = 0, previous = NULL",
	[SQL_FILE_ROTATE] = "UPDATE file_secrets SET previous_version = version, previous = value,"
			    " version = version + 1, value = ?2, set_s = ?3"
			    " WHERE name = ?1 AND value IS NOT NULL",
	[SQL_FILE_REMOVE] = "UPDATE file_secrets SET value = NULL, previous_version = 0,"
			    " previous = NULL WHERE name = ?1 AND value IS NOT NULL",
	[SQL_FILE_NEXT] = "SELECT name, version, previous_version, set_s FROM file_secrets"
			  " WHERE name > ?1 AND value IS NOT NULL ORDER BY name LIMIT 1",
	[SQL_BATCH_FIND] = "SELECT seq FROM usage_batch WHERE epoch = ?1",
	[SQL_BATCH_SET] = "INSERT INTO usage_batch (one, epoch, seq) VALUES (1, ?1, ?2)"
			  " ON CONFLICT (one) DO UPDATE SET epoch = ?1, seq = ?2",
	[SQL_USAGE_ADD] = "INSERT INTO usage (key, model, day, requests, errors, tokens_in,"
			  " tokens_out, estimated, estimated_in, estimated_out, cached_in,"
			  " cache_written_in, reasoning_out)"
			  " SELECT n, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13"
			  " FROM keys WHERE id = ?1"
			  " ON CONFLICT (key, model, day) DO UPDATE SET"
			  " requests = requests + excluded.requests,"
			  " errors = errors + excluded.errors,"
			  " tokens_in = tokens_in + excluded.tokens_in,"
			  " tokens_out = tokens_out + excluded.tokens_out,"
			  " estimated = estimated + excluded.estimated,"
			  " estimated_in = estimated_in + excluded.estimated_in,"
			  " estimated_out = estimated_out + excluded.estimated_out,"
			  " cached_in = cached_in + excluded.cached_in,"
			  " cache_written_in = cache_written_in + excluded.cache_written_in,"
			  " reasoning_out = reasoning_out + excluded.reasoning_out",
	[SQL_USAGE_TRIM] = "DELETE FROM usage WHERE (key, model, day) IN (SELECT key, model, day"
			   " FROM usage WHERE day < ?1 AND NOT EXISTS (SELECT 1 FROM keys"
			   " JOIN users ON users.id = keys.user"
			   " WHERE keys.n = usage.key AND users.hold = 1) LIMIT ?2)",
	[SQL_USAGE_OF_KEY] = USAGE " FROM usage JOIN keys ON keys.n = usage.key"
				   " WHERE usage.key = ?1 GROUP BY usage.model",
	[SQL_USAGE_SUM] = USAGE
	" FROM usage JOIN keys ON keys.n = usage.key JOIN users ON users.id = keys.user"
	" WHERE usage.key = ?1 AND usage.model = ?2 AND usage.day >= ?3"
	" AND (?4 IS NULL OR users.tenant = ?4) GROUP BY usage.model",
	[SQL_USAGE_MODEL] = "SELECT model FROM usage WHERE key = ?1 AND (model, day) > (?2, ?3)"
			    " ORDER BY model, day LIMIT 1",
	[SQL_USER_OF_TENANT] = "SELECT id, name_hash FROM users WHERE tenant = ?1"
			       " AND name_hash > ?2 AND state <> 2 ORDER BY name_hash LIMIT 1",
	[SQL_USER_OF_HASH] = "SELECT id FROM users WHERE name_hash = ?1 AND id > ?2"
			     " AND (?3 IS NULL OR tenant = ?3) ORDER BY id LIMIT 1",
	[SQL_TOOL_FIND] = "SELECT id FROM tools WHERE user = ?1 AND name_hash = ?2",
	[SQL_TOOL_ADD] = "INSERT INTO tools (id, user, name_hash, key, name, live, marks)"
			 " VALUES (?1, ?2, ?3, 0, x'', ?4, ?5)",
	[SQL_TOOL_NAME] = "UPDATE tools SET key = ?2, name = ?3 WHERE id = ?1",
	[SQL_TOOL_GET] = "SELECT user, key, name, marks, name_hash FROM tools WHERE id = ?1",
	[SQL_TOOL_SET] = "UPDATE tools SET marks = ?2, live = ?3 WHERE id = ?1",
	[SQL_TOOL_NEXT] = "SELECT id FROM tools WHERE id > ?1 ORDER BY id LIMIT 1",
	[SQL_TOOL_REMOVE] = "DELETE FROM tools WHERE id = ?1",
	[SQL_TOOL_HOLD] = "SELECT users.hold FROM tools JOIN users ON users.id = tools.user"
			  " WHERE tools.id = ?1",
	[SQL_VERSIONS_REMOVE] = "DELETE FROM tool_versions WHERE tool = ?1",
	[SQL_VERSIONS_WEIGHT] = "SELECT coalesce(sum(size), 0) FROM tool_versions"
				" WHERE tool = ?1 AND version > 0 AND (?2 = 0 OR id = ?2)",
	[SQL_TOOL_MARKS_NEXT] = "SELECT id, marks FROM tools WHERE id > ?1 ORDER BY id LIMIT 1",
	[SQL_TOOL_SUM_GET] = "SELECT value FROM tool_sum WHERE one = 1",
	[SQL_TOOL_SUM_SET] = "INSERT INTO tool_sum (one, value) VALUES (1, ?1)"
			     " ON CONFLICT (one) DO UPDATE SET value = ?1",
	[SQL_TOOLS_OF_USER] = "SELECT coalesce(sum(live), 0) FROM tools"
			      " WHERE user = (SELECT user FROM tools WHERE id = ?1)",
	[SQL_TOOL_NAMES_OF_USER] = "SELECT count(*) FROM tools"
				   " WHERE user = (SELECT user FROM tools WHERE id = ?1)",
	[SQL_TOOL_BYTES_OF_USER] = "SELECT coalesce(sum(size), 0) FROM tool_versions"
				   " JOIN tools ON tools.id = tool_versions.tool"
				   " WHERE tools.user = (SELECT user FROM tools WHERE id = ?1)",
	/* ?1 is the tool, which does not matter here. */
	[SQL_VERSIONS_COUNT] = "SELECT count(*) FROM tool_versions WHERE ?1 IS NOT NULL",
	[SQL_VERSION_ADD] = "INSERT INTO tool_versions (tool, version, size, meta)"
			    " VALUES (?1, ?2, 0, x'')",
	[SQL_VERSION_GET] = "SELECT tool, meta FROM tool_versions WHERE id = ?1 AND version > 0",
	[SQL_VERSION_SET] = "UPDATE tool_versions SET meta = ?2, size = ?3 WHERE id = ?1",
	[SQL_VERSION_REMOVE] = "DELETE FROM tool_versions WHERE id = ?1",
	[SQL_VERSION_HIDE] = "UPDATE tool_versions SET version = -version"
			     " WHERE id = ?1 AND version > 0",
	[SQL_VERSIONS_HIDE] = "UPDATE tool_versions SET version = -version"
			      " WHERE tool = ?1 AND version > 0",
	[SQL_VERSION_SHRINK] = "UPDATE tool_versions SET size = max(size - ?2, 0) WHERE id = ?1",
	[SQL_CHUNK_ADD] = "INSERT INTO tool_chunks (version, part, n, value)"
			  " VALUES (?1, ?2, ?3, ?4)",
	[SQL_CHUNK_GET] = "SELECT value FROM tool_chunks"
			  " WHERE version = ?1 AND part = ?2 AND n = ?3",
	[SQL_CHUNKS_REMOVE] = "DELETE FROM tool_chunks WHERE version = ?1 AND part = ?2",
	[SQL_CHUNK_FIRST] =
	    "SELECT rowid, length(value) FROM tool_chunks WHERE version = ?1 LIMIT 1",
	[SQL_CHUNK_REMOVE] = "DELETE FROM tool_chunks WHERE rowid = ?1",
	/* ---- what is kept for users ---- */
	[SQL_CONTENT_USER] = "SELECT state, hold FROM users WHERE id = ?1",
	[SQL_ROW_LAST] = "SELECT seq FROM sqlite_sequence WHERE name = ?1",
	[SQL_USE_GET] = "SELECT objects, bytes FROM content_use WHERE user = ?1",
	[SQL_USE_SET] = "INSERT INTO content_use (user, objects, bytes) VALUES (?1, ?2, ?3)"
			" ON CONFLICT (user) DO UPDATE SET objects = ?2, bytes = ?3",
	[SQL_OBJECT_ADD] =
	    "INSERT INTO objects (id, user, kind, hash, tag, created_s, updated_s, expires_s, size,"
	    " key, version, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
	[SQL_OBJECT_FIND] = OBJECT " AND hash = ?2 AND hidden = 0"
				   " AND (expires_s = 0 OR expires_s > ?3)",
	[SQL_OBJECT_GET] = OBJECT " AND id = ?2 AND hidden = 0",
	[SQL_OBJECT_SET] = "UPDATE objects SET updated_s = ?3, size = ?4, key = ?5, version = ?6,"
			   " value = ?7 WHERE id = ?1 AND user = ?2",
	[SQL_OBJECT_NEXT] = OBJECT " AND kind = ?2 AND id > ?3"
				   " AND hidden = 0 AND (expires_s = 0 OR expires_s > ?4)"
				   " ORDER BY id LIMIT 1",
	[SQL_OBJECT_BEFORE] = OBJECT " AND kind = ?2 AND id < ?3"
				     " AND hidden = 0 AND (expires_s = 0 OR expires_s > ?4)"
				     " ORDER BY id DESC LIMIT 1",
	[SQL_OBJECT_NEXT_OF_TAG] = OBJECT
	" AND kind = ?2 AND id > ?3"
	" AND hidden = 0 AND (expires_s = 0 OR expires_s > ?4) AND tag = ?5"
	" ORDER BY id LIMIT 1",
	[SQL_OBJECT_BEFORE_OF_TAG] = OBJECT
	" AND kind = ?2 AND id < ?3"
	" AND hidden = 0 AND (expires_s = 0 OR expires_s > ?4) AND tag = ?5"
	" ORDER BY id DESC LIMIT 1",
	[SQL_OBJECT_HIDE] = "UPDATE objects SET hidden = 1"
			    " WHERE id = ?1 AND user = ?2 AND hidden = 0",
	[SQL_OBJECT_REMOVE] = "DELETE FROM objects WHERE id = ?1 AND user = ?2",
	[SQL_ITEM_ADD] =
	    "INSERT INTO items (id, user, response, conversation, hash, output, size, key, value)"
	    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
	[SQL_ITEM_FIND_OF_RESPONSE] = ITEM " AND response = ?2 AND hash = ?3 LIMIT 1",
	[SQL_ITEM_FIND_OF_CONVERSATION] = ITEM
	" AND conversation = ?2 AND hash = ?3 AND hidden = 0 LIMIT 1",
	[SQL_ITEM_NEXT_OF_RESPONSE] = ITEM " AND response = ?2 AND id > ?3"
					   " ORDER BY id LIMIT 1",
	[SQL_ITEM_NEXT_OF_CONVERSATION] = ITEM " AND conversation = ?2 AND id > ?3 AND hidden = 0"
					       " ORDER BY id LIMIT 1",
	[SQL_ITEM_BEFORE_OF_RESPONSE] = ITEM " AND response = ?2 AND id < ?3"
					     " ORDER BY id DESC LIMIT 1",
	[SQL_ITEM_BEFORE_OF_CONVERSATION] = ITEM " AND conversation = ?2 AND id < ?3 AND hidden = 0"
						 " ORDER BY id DESC LIMIT 1",
	[SQL_ITEMS_COUNT_OF_RESPONSE] =
	    "SELECT count(*) FROM items WHERE user = ?1 AND response = ?2",
	[SQL_ITEMS_COUNT_OF_CONVERSATION] =
	    "SELECT count(*) FROM items WHERE user = ?1 AND conversation = ?2 AND hidden = 0",
	[SQL_ITEM_HIDE] = "UPDATE items SET hidden = 1 WHERE id = ?1 AND user = ?2",
	[SQL_ITEM_LEAVE] = "UPDATE items SET conversation = NULL, hidden = 0"
			   " WHERE id = ?1 AND user = ?2",
	[SQL_ITEM_REMOVE] = "DELETE FROM items WHERE id = ?1 AND user = ?2"
			    " AND response IS NULL AND conversation IS NULL",
	[SQL_ITEM_FIRST_OF_RESPONSE] =
	    "SELECT id, size FROM items WHERE user = ?1 AND response = ?2 LIMIT 1",
	[SQL_ITEM_FIRST_OF_CONVERSATION] =
	    "SELECT id, size FROM items WHERE user = ?1 AND conversation = ?2 LIMIT 1",
	[SQL_ITEM_REMOVE_OF_RESPONSE] =
	    "DELETE FROM items WHERE id = ?1 AND user = ?2 AND conversation IS NULL",
	[SQL_ITEM_REMOVE_OF_CONVERSATION] =
	    "DELETE FROM items WHERE id = ?1 AND user = ?2 AND response IS NULL",
	[SQL_ITEM_LEAVE_RESPONSE] = "UPDATE items SET response = NULL WHERE id = ?1 AND user = ?2",
	[SQL_ITEMS_ALL_OF_RESPONSE] =
	    "SELECT coalesce(sum(size), 0) FROM items WHERE user = ?1 AND response = ?2",
	[SQL_ITEMS_ALL_OF_CONVERSATION] =
	    "SELECT coalesce(sum(size), 0) FROM items WHERE user = ?1 AND conversation = ?2",
	[SQL_ITEMS_SUM_OF_RESPONSE] = "SELECT coalesce(sum(size), 0) FROM items"
				      " WHERE user = ?1 AND response = ?2 AND conversation IS NULL",
	[SQL_ITEMS_SUM_OF_CONVERSATION] =
	    "SELECT coalesce(sum(size), 0) FROM items"
	    " WHERE user = ?1 AND conversation = ?2 AND response IS NULL",
	[SQL_ITEMS_REMOVE_OF_RESPONSE] =
	    "DELETE FROM items WHERE user = ?1 AND response = ?2 AND conversation IS NULL",
	[SQL_ITEMS_REMOVE_OF_CONVERSATION] =
	    "DELETE FROM items WHERE user = ?1 AND conversation = ?2 AND response IS NULL",
	[SQL_ITEMS_LEAVE_RESPONSE] =
	    "UPDATE items SET response = NULL WHERE user = ?1 AND response = ?2",
	[SQL_ITEMS_LEAVE_CONVERSATION] =
	    "UPDATE items SET conversation = NULL WHERE user = ?1 AND conversation = ?2",
	[SQL_FILE_CHUNK_ADD] = "INSERT INTO chunks (file, n, key, value) VALUES (?1, ?2, ?3, ?4)",
	[SQL_FILE_CHUNK_GET] = "SELECT key, value FROM chunks WHERE file = ?1 AND n = ?2",
	[SQL_FILE_CHUNKS_REMOVE] = "DELETE FROM chunks WHERE file = ?1",
	/* ---- who is erased, and what goes for its age ---- */
	[SQL_KEYS_OF_USER] = "SELECT n FROM keys WHERE user = ?1 AND n > ?2 ORDER BY n LIMIT 1",
	[SQL_KEYS_REMOVE] = "DELETE FROM keys WHERE user = ?1",
	[SQL_USAGE_REMOVE] = "DELETE FROM usage WHERE (key, model, day) IN (SELECT key, model, day"
			     " FROM usage WHERE key IN (SELECT n FROM keys WHERE user = ?1)"
			     " LIMIT ?2)",
	[SQL_TOOL_OF_USER] = "SELECT id FROM tools WHERE user = ?1 AND id > ?2 ORDER BY id LIMIT 1",
	[SQL_VERSION_OF_USER] = "SELECT tool_versions.id FROM tools CROSS JOIN tool_versions"
				" ON tool_versions.tool = tools.id"
				" WHERE tools.user = ?1 AND tool_versions.id >= ?2"
				" AND tool_versions.version > 0"
				" ORDER BY tool_versions.id LIMIT 1",
	[SQL_VERSION_LEFT_OF_USER] = "SELECT tool_versions.id FROM tools CROSS JOIN tool_versions"
				     " ON tool_versions.tool = tools.id"
				     " WHERE tools.user = ?1 LIMIT 1",
	[SQL_TOOL_LIVE_OF_USER] = "SELECT id FROM tools WHERE user = ?1 AND id > ?2 AND live <> 0"
				  " ORDER BY id LIMIT 1",
	[SQL_SESSION_OF_USER] =
	    "SELECT n FROM sessions WHERE user = ?1 AND n > ?2 ORDER BY n LIMIT 1",
	[SQL_ROWS_OF_USER] = "SELECT (SELECT count(*) FROM objects WHERE user = ?1)"
			     " + (SELECT count(*) FROM keys WHERE user = ?1)"
			     " + (SELECT count(*) FROM tools WHERE user = ?1)",
	[SQL_SWEEP_ERASED] =
	    "SELECT objects.id, objects.user, objects.kind, objects.size FROM users"
	    " CROSS JOIN objects ON objects.user = users.id"
	    " WHERE users.state = 2 AND users.id >= ?1 AND users.hold = 0"
	    " AND NOT EXISTS (SELECT 1 FROM user_keys WHERE user_keys.user = users.id)"
	    " ORDER BY users.id LIMIT 1",
	[SQL_SWEEP_HIDDEN] =
	    "SELECT objects.id, objects.user, objects.kind, objects.size, objects.id, users.hold"
	    " FROM objects CROSS JOIN users ON users.id = objects.user"
	    " WHERE objects.hidden = 1 AND objects.id > ?1 ORDER BY objects.id LIMIT 1",
	[SQL_SWEEP_EXPIRED] =
	    "SELECT objects.id, objects.user, objects.kind, objects.size, objects.expires_s,"
	    " users.hold FROM objects CROSS JOIN users ON users.id = objects.user"
	    " WHERE objects.expires_s > 0 AND objects.expires_s <= ?1 AND objects.hidden = 0"
	    " AND (objects.expires_s, objects.id) > (?2, ?3)"
	    " ORDER BY objects.expires_s, objects.id LIMIT 1",
	[SQL_SWEEP_AGED] =
	    "SELECT objects.id, objects.user, objects.kind, objects.size, objects.updated_s,"
	    " users.hold FROM objects CROSS JOIN users ON users.id = objects.user"
	    " WHERE objects.kind = ?1 AND objects.updated_s < ?2 AND objects.hidden = 0"
	    " AND (objects.updated_s, objects.id) > (?3, ?4)"
	    " ORDER BY objects.updated_s, objects.id LIMIT 1",
	/* ---- sessions, and keys that have versions ---- */
	[SQL_SESSION_ADD] = "INSERT INTO sessions (id, user, parent, key, signer, expires_s, value)"
			    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	[SQL_SESSION_NEXT] = "SELECT sessions.n, sessions.id, sessions.user, sessions.key,"
			     " sessions.signer, sessions.expires_s, sessions.value, keys.id"
			     " FROM sessions JOIN keys ON keys.n = sessions.parent"
			     " WHERE sessions.n > ?1 ORDER BY sessions.n LIMIT 1",
	[SQL_SESSION_REMOVE] = "DELETE FROM sessions WHERE id = ?1",
	[SQL_SESSIONS_COUNT] = "SELECT count(*) FROM sessions WHERE n > ?1",
	[SQL_SESSIONS_EXPIRED] = "DELETE FROM sessions WHERE expires_s <= ?1",
	[SQL_SESSIONS_OF_KEY_REMOVE] = "DELETE FROM sessions WHERE parent = ?1",
	[SQL_SESSIONS_OF_USER_REMOVE] = "DELETE FROM sessions WHERE user = ?1",
	[SQL_SECRET_REMOVE] = "DELETE FROM secrets WHERE name = ?1",
	[SQL_KEYSET_ADD] = "INSERT INTO keysets (what, version, created_s) VALUES (?1, ?2, ?3)",
	[SQL_KEYSET_NEXT] = "SELECT what, version, created_s FROM keysets"
			    " WHERE (what, version) > (?1, ?2) ORDER BY what, version LIMIT 1",
	[SQL_KEYSET_IS] = "SELECT 1 FROM keysets WHERE what = ?1 AND version = ?2",
	[SQL_KEYSET_NEWEST] = "SELECT version, (SELECT count(*) FROM keysets WHERE what = ?1),"
			      " created_s FROM keysets WHERE what = ?1"
			      " ORDER BY version DESC LIMIT 1",
	[SQL_KEYSET_REMOVE] = "DELETE FROM keysets WHERE what = ?1 AND version = ?2",
	[SQL_KEYSET_SESSION_OLD] = "SELECT version FROM keysets WHERE what = ?1 AND version < ?2"
				   " AND NOT EXISTS (SELECT 1 FROM sessions"
				   " WHERE signer = keysets.version) LIMIT 1",
	[SQL_KEYSET_PEPPER_OLD] = "SELECT version FROM keysets WHERE what = ?1 AND version < ?2"
				  " AND NOT EXISTS (SELECT 1 FROM keys"
				  " WHERE pepper = keysets.version) LIMIT 1",
	[SQL_KEYSET_PEPPER_LEFT] = "SELECT count(*) FROM keys WHERE pepper > 0 AND pepper < ?1",
	[SQL_KEYSET_SESSION_LEFT] = "SELECT count(*) FROM sessions WHERE signer < ?1",
	[SQL_SWEEP_VERSION] =
	    "SELECT tool_versions.id, users.hold FROM tool_versions INDEXED BY tool_versions_gone"
	    " CROSS JOIN tools ON tools.id = tool_versions.tool"
	    " CROSS JOIN users ON users.id = tools.user"
	    " WHERE tool_versions.version < 0 AND tool_versions.id > ?1"
	    " ORDER BY tool_versions.id LIMIT 1",
	[SQL_SWEEP_ITEM] = "SELECT items.id, items.user, items.size, users.hold FROM items"
			   " CROSS JOIN users ON users.id = items.user"
			   " WHERE items.hidden = 1 AND items.id > ?1 ORDER BY items.id LIMIT 1",
};

struct status
sql_prepare(struct db *db)
{
	for (size_t i = 0; i < SQL_COUNT; i++) {
		TRY(backend_prepare(db->back, texts[i], &db->st[i]));
	}
	return OK;
}

void
sql_finish(struct db *db)
{
	for (size_t i = 0; i < SQL_COUNT; i++) {
		backend_finalize(db->st[i]);
		db->st[i] = NULL;
	}
}

void
sql_text(struct db *db, enum statement s, int at, struct span text)
{
	backend_bind_text(db->st[s], at, text);
}

void
sql_blob(struct db *db, enum statement s, int at, struct span blob)
{
	backend_bind_blob(db->st[s], at, blob);
}

void
sql_int(struct db *db, enum statement s, int at, uint64_t v)
{
	if (v <= INT64_MAX)
		backend_bind_int(db->st[s], at, (int64_t)v);
}

void
sql_reset(struct db *db, enum statement s)
{
	backend_reset(db->st[s]);
}

void
sql_reset_all(struct db *db)
{
	for (size_t i = 0; i < SQL_COUNT; i++)
		sql_reset(db, (enum statement)i);
}

struct status
sql_run(struct db *db, enum statement s)
{
	struct status st;

	do {
		st = backend_step(db->st[s]);
	} while (is_ok(st));
	sql_reset(db, s);
	return st.code == E_NOTFOUND ? OK : st;
}

struct status
sql_row(struct db *db, enum statement s)
{
	struct status st = backend_step(db->st[s]);

	if (!is_ok(st))
		sql_reset(db, s);
	return st;
}

struct span
sql_column(struct db *db, enum statement s, int at)
{
	return backend_column(db->st[s], at);
}

struct status
sql_column_fixed(struct db *db, enum statement s, int at, uint8_t *out, size_t len)
{
	struct span v = sql_column(db, s, at);

	if (v.ptr == NULL || v.len != len)
		return fail(E_CORRUPT);
	memcpy(out, v.ptr, len);
	return OK;
}

struct status
sql_column_u64(struct db *db, enum statement s, int at, uint64_t *ret)
{
	int64_t v = backend_column_int(db->st[s], at);

	if (v < 0)
		return fail(E_CORRUPT);
	*ret = (uint64_t)v;
	return OK;
}

struct status
sql_number(struct db *db, enum statement s, uint64_t *ret)
{
	struct status st;

	TRY(sql_row(db, s));
	st = sql_column_u64(db, s, 0, ret);
	sql_reset(db, s);
	return st;
}

struct status
rows_fit(struct db *db, enum statement s, uint64_t max)
{
	uint64_t n = 0;

	TRY(sql_number(db, s, &n));
	return n > max ? fail(E_FULL) : OK;
}
