/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast what is kept for users is written and read, sealed and durable. Used by bench/run.py.
 *
 *	content-speed turns N         N turns into conversations, each loaded first; the current
 *	                              directory must be empty and on the disk to measure
 *	content-speed many N          N turns of N / 1000 users; then a list, an erasure, new keys
 *	content-speed seal            chunks of files, in memory
 *
 * Runs in:    a shell. Prints one JSON object. Trusts: its arguments.
 * Owns:       what it writes to the current directory.
 * Invariants: a turn is an answer of 1,500 bytes to a question of 500, with 2 KiB of meta data;
 *             `many` fills without waiting for the disk and measures with it.
 * See:        src/store/content.h.
 */
#include <stdio.h>
#include <stdlib.h>

#include <base/clock.h>
#include <crypto/crypto.h>

#include <privacy.h>
#include <rotate.h>

#define NOW 1767000000ULL
#define TURNS_OF_CONVERSATION 10
#define TURNS_OF_USER 1000
#define SEALED_BYTES (4ULL << 30)
#define LISTS 2000
#define REWRAP_NS (5 * NS_PER_S)

static struct secret root;
static struct db *db;
static uint32_t *samples;

static void
must(struct status st, const char *what)
{
	if (is_ok(st))
		return;
	(void)fprintf(stderr, "%s: %s\n", what, status_text(st));
	exit(1);
}

static void
user_name(uint64_t user, char out[24])
{
	(void)snprintf(out, 24, "user%llu", (unsigned long long)user);
}

static void
user_add_one(uint64_t user)
{
	uint8_t subject[AS_SECRET_LEN];
	struct as_user_put m = { .tenant = SPAN_LIT("acme"), .roles = ROLE_USER };
	char name[24];

	user_name(user, name);
	m.user = span_str(name);
	must(db_user_put(db, &m, subject), "user");
}

/* One operation; its time in microseconds. */
static uint32_t
ask(uint64_t user, uint8_t op, uint8_t kind, const char *target, const struct content_request *req)
{
	struct arena arena = ARENA_INIT(CONTENT_ARENA_MAX);
	struct content_call call = {
		.op = op, .kind = kind, .tenant = SPAN_LIT("acme"), .req = req, .now_s = NOW
	};
	uint64_t begun = clock_mono_ns();
	struct content_answer answer;
	struct content_done done;
	char name[24];

	user_name(user, name);
	call.user = span_str(name);
	call.target = span_str(target);
	must(content_do(db, &call, &arena, &answer, &done), content_op_names[op]);
	begun = clock_mono_ns() - begun;
	arena_done(&arena);
	return (uint32_t)(begun / 1000);
}

static void
conversation_name(uint64_t turn, char out[32])
{
	(void)snprintf(out, 32, "conv_%llu", (unsigned long long)(turn / TURNS_OF_CONVERSATION));
}

static uint32_t
turn_save(uint64_t user, uint64_t turn)
{
	static char question[500], answer[1500], meta[2048];
	char id[32], conversation[32], ids[2][32];
	struct content_item items[] = {
		{ .json = span_of(question, sizeof(question)) },
		{ .output = 1, .json = span_of(answer, sizeof(answer)) },
	};
	struct content_request req = { .meta = span_of(meta, sizeof(meta)), .items = { items, 2 } };

	memset(question, 'q', sizeof(question));
	memset(answer, 'a', sizeof(answer));
	memset(meta, 'm', sizeof(meta));
	(void)snprintf(id, sizeof(id), "resp_%llu", (unsigned long long)turn);
	(void)snprintf(ids[0], sizeof(ids[0]), "msg_q%llu", (unsigned long long)turn);
	(void)snprintf(ids[1], sizeof(ids[1]), "msg_a%llu", (unsigned long long)turn);
	conversation_name(turn, conversation);
	items[0].id = span_str(ids[0]);
	items[1].id = span_str(ids[1]);
	req.parent = span_str(conversation);
	return ask(user, CONTENT_SAVE, CONTENT_RESPONSE, id, &req);
}

static void
conversation_add(uint64_t user, uint64_t turn)
{
	const struct content_request req = { .meta = SPAN_LIT("{}") };
	char id[32];

	conversation_name(turn, id);
	(void)ask(user, CONTENT_CREATE, CONTENT_CONVERSATION, id, &req);
}

static int
by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static uint32_t
part(uint64_t n, uint64_t hundredths)
{
	qsort(samples, n, sizeof(samples[0]), by_size);
	return samples[n * hundredths / 100];
}

static void
open_database(void)
{
	must(secret_random(32, &root), "key");
	must(db_open(&root, NULL, &db), "database");
	db->content.user_bytes_max = 1ULL << 40;
}

static void
turns(uint64_t n)
{
	const struct content_request none = { .limit = 100 };
	uint32_t *loads = calloc(n, sizeof(*loads)), saved, saved99;
	char id[32];

	open_database();
	user_add_one(0);
	for (uint64_t i = 0; i < n; i++) {
		if (i % TURNS_OF_CONVERSATION == 0)
			conversation_add(0, i);
		conversation_name(i, id);
		loads[i] = ask(0, CONTENT_LOAD, CONTENT_CONVERSATION, id, &none);
		samples[i] = turn_save(0, i);
	}
	saved = part(n, 50);
	saved99 = part(n, 99);
	memcpy(samples, loads, n * sizeof(*loads));
	printf("{\"save_p50_us\": %u, \"save_p99_us\": %u, \"load_p50_us\": %u, \"load_p99_us\": "
	       "%u}\n",
	    saved, saved99, part(n, 50), part(n, 99));
	free(loads);
}

/* ---- many ---- */

static void
fill(uint64_t n)
{
	must(backend_exec(db->back, "PRAGMA synchronous=OFF"), "pragma");
	for (uint64_t i = 0; i < n; i++) {
		if (i % TURNS_OF_USER == 0)
			user_add_one(i / TURNS_OF_USER);
		if (i % TURNS_OF_CONVERSATION == 0)
			conversation_add(i / TURNS_OF_USER, i);
		(void)turn_save(i / TURNS_OF_USER, i);
	}
	must(backend_exec(db->back, "PRAGMA synchronous=FULL"), "pragma");
}

static int64_t
number(const char *text)
{
	int64_t n = 0;

	sql_reset_all(db);
	must(backend_number(db->back, text, &n), text);
	return n;
}

/* Values sealed anew a second, each transaction durable. */
static double
rewrap(void)
{
	int64_t before = number("SELECT max(id) FROM user_keys");
	uint64_t begun = clock_mono_ns(), took;
	bool more = true;
	char text[160];

	must(db_rotate(db, AS_ROTATE_DATA, NOW), "rotate");
	while (more && clock_mono_ns() - begun < REWRAP_NS)
		must(db_rotate_step(db, NOW, 20 * NS_PER_MS, &more), "step");
	took = clock_mono_ns() - begun;
	(void)snprintf(text, sizeof(text),
	    "SELECT (SELECT count(*) FROM items WHERE key > %lld)"
	    " + (SELECT count(*) FROM objects WHERE key > %lld)",
	    (long long)before, (long long)before);
	return (double)number(text) / ((double)took / NS_PER_S);
}

static void
many(uint64_t n)
{
	const struct content_request page = { .limit = 20 };
	uint64_t begun = clock_mono_ns(), state = 88172645463325252ULL, rows;
	double filled, erased, rate;
	uint32_t listed;
	char id[32], name[24];
	bool more = true;

	open_database();
	fill(n);
	filled = (double)(clock_mono_ns() - begun) / NS_PER_S;
	for (uint64_t i = 0; i < LISTS; i++) {
		uint64_t turn;

		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		turn = state % n;
		conversation_name(turn, id);
		samples[i] = ask(turn / TURNS_OF_USER, CONTENT_LIST, CONTENT_ITEM, id, &page);
	}
	listed = part(LISTS, 50);
	user_name(n / TURNS_OF_USER / 2, name);
	begun = clock_mono_ns();
	while (more)
		must(db_user_erase(db, SPAN_LIT("acme"), span_str(name), &rows, &more), "erase");
	erased = (double)(clock_mono_ns() - begun) / NS_PER_MS;
	rate = rewrap();
	printf("{\"turns\": %llu, \"fill_s\": %.1f, \"list_p50_us\": %u, \"erase_ms\": %.2f, "
	       "\"rewrap_per_s\": %.0f}\n",
	    (unsigned long long)n, filled, listed, erased, rate);
}

/* ---- sealing ---- */

static void
seal_chunks(void)
{
	struct buf out = BUF_INIT(CONTENT_CHUNK_LEN + SEAL_OVERHEAD);
	struct buf plain = BUF_INIT(CONTENT_CHUNK_LEN + SEAL_OVERHEAD);
	uint8_t *chunk = calloc(1, CONTENT_CHUNK_LEN);
	uint64_t begun, sealed, opened, n = SEALED_BYTES / CONTENT_CHUNK_LEN;

	must(secret_random(32, &root), "key");
	begun = clock_mono_ns();
	for (uint64_t i = 0; i < n; i++) {
		buf_clear(&out);
		must(seal(&root, SPAN_LIT("place"), span_of(chunk, CONTENT_CHUNK_LEN), &out),
		    "seal");
	}
	sealed = clock_mono_ns() - begun;
	begun = clock_mono_ns();
	for (uint64_t i = 0; i < n; i++) {
		buf_clear(&plain);
		must(seal_open(&root, SPAN_LIT("place"), buf_span(&out), &plain), "open");
	}
	opened = clock_mono_ns() - begun;
	printf("{\"seal_gb_s\": %.2f, \"open_gb_s\": %.2f}\n",
	    (double)SEALED_BYTES / (double)sealed, (double)SEALED_BYTES / (double)opened);
	free(chunk);
	buf_done(&out);
	buf_done(&plain);
}

int
main(int argc, char **argv)
{
	uint64_t n = 2000;

	must(crypto_init(), "crypto");
	if (argc > 2)
		must(span_u64(span_str(argv[2]), 100000000, &n), argv[2]);
	samples = calloc((n > LISTS ? n : LISTS) + 1, sizeof(*samples));
	if (argc < 2 || samples == NULL) {
		(void)fprintf(stderr, "usage: content-speed turns|many N, or seal\n");
		return 2;
	}
	if (strcmp(argv[1], "seal") == 0)
		seal_chunks();
	else if (strcmp(argv[1], "many") == 0)
		many(n);
	else
		turns(n);
	db_close(db);
	secret_done(&root);
	free(samples);
	return 0;
}
