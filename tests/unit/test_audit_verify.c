/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The verifier against every change that one hand can make: each byte of each
 * file, each line removed, doubled, swapped, cut, each segment gone, each signed
 * file rolled back; it names the first bad record and why.
 */
#include "audit_fixture.h"

#include <base/encode.h>

#define RECORDS 12
#define FILE_MAX (1U << 20)

static struct state state;
static struct buf segment; /* the one segment, as written */
static size_t line_at[RECORDS + 2];

static void
put_file(int dir, const char *name, struct span s)
{
	assert_is_ok(io_replace_file(dir, name, s, 0600));
}

static struct auditlog_result
verify(void)
{
	struct auditlog_result r;

	auditlog_verify(state.dir, &r);
	return r;
}

static void
expect(const char *what, size_t at, enum auditlog_fault fault, uint64_t seq)
{
	struct auditlog_result r = verify();

	if (r.verdict != AUDITLOG_TAMPERED || (fault != 0 && r.fault != fault) ||
	    (seq != 0 && r.seq != seq))
		test_fail("%s %zu: verdict %d, %s at %llu (%s): %s; wanted %s at %llu", what, at,
		    (int)r.verdict, auditlog_fault_text(r.fault), (unsigned long long)r.seq, r.file,
		    r.why != NULL ? r.why : "", auditlog_fault_text(fault),
		    (unsigned long long)seq);
}

static void
restore(void)
{
	put_file(state.audit, "00000001.jsonl", buf_span(&segment));
}

static struct span
line(size_t seq)
{
	return span_of(segment.ptr + line_at[seq], line_at[seq + 1] - line_at[seq]);
}

static size_t
line_of(size_t byte)
{
	size_t seq = 1;

	while (line_at[seq + 1] <= byte)
		seq++;
	return seq;
}

static int
setup(void **arg)
{
	const struct log_opts opts = { .segment_max = FILE_MAX, .reserve = 0 };
	struct log l;
	size_t seq = 1;

	(void)arg;
	state_make(&state);
	log_open_ok(&state, &l, &opts);
	for (uint64_t i = 1; i <= RECORDS; i++) {
		append_plain(&l, i, i % 3 == 1);
		if (i % 3 != 1)
			assert_is_ok(log_commit(&l));
		if (i == RECORDS / 2) {
			assert_is_ok(log_checkpoint(&l));
			put_file(state.dir, "old-head", buf_span(&l.note));
		}
	}
	assert_is_ok(log_commit(&l));
	assert_is_ok(log_checkpoint(&l));
	head_keep(&state, &l);
	log_close(&l);
	segment = BUF_INIT(FILE_MAX);
	assert_is_ok(io_read_file(state.audit, "00000001.jsonl", &segment));
	line_at[1] = 0;
	for (size_t i = 0; i < segment.len; i++) {
		if (segment.ptr[i] == '\n')
			line_at[++seq] = i + 1;
	}
	assert_int_equal(seq, RECORDS + 1);
	return 0;
}

static int
teardown(void **arg)
{
	(void)arg;
	buf_done(&segment);
	state_remove(&state);
	return 0;
}

static void
intact(void **arg)
{
	struct auditlog_result r = verify();

	(void)arg;
	assert_int_equal(r.verdict, AUDITLOG_INTACT);
	assert_int_equal(r.records, RECORDS);
	assert_int_equal(r.signed_records, RECORDS);
	assert_int_equal(r.head_records, RECORDS);
	assert_int_equal(r.tail_bytes, 0);
}

/* Every byte of the segment, to four other values: the record of that byte is named. */
static void
each_byte_of_the_records(void **arg)
{
	static const uint8_t flips[] = { 0x01, 0x20, 0x80 };

	(void)arg;
	for (size_t at = 0; at < segment.len; at++) {
		uint8_t was = segment.ptr[at];
		size_t seq = line_of(at);

		for (size_t i = 0; i <= COUNT(flips); i++) {
			segment.ptr[at] = i < COUNT(flips) ? was ^ flips[i] : '\n';
			if (segment.ptr[at] == was)
				continue;
			restore();
			/* The last newline: the record has no end, so the log is cut there. */
			expect("byte", at,
			    at + 1 == segment.len ? AUDITLOG_CUT_OFF : AUDITLOG_CHANGED, seq);
		}
		segment.ptr[at] = was;
	}
	restore();
	intact(NULL);
}

static void
each_byte_of(int dir, const char *name)
{
	auto_buf struct buf file = BUF_INIT(FILE_MAX);

	assert_is_ok(io_read_file(dir, name, &file));
	for (size_t at = 0; at < file.len; at++) {
		uint8_t was = file.ptr[at];

		for (unsigned flip = 1; flip < 256; flip++) {
			if (at % 7 != 0 && flip != 1 && flip != 0x20 && flip != 0x80)
				continue;
			file.ptr[at] = was ^ (uint8_t)flip;
			put_file(dir, name, buf_span(&file));
			expect(name, at, 0, 0);
		}
		file.ptr[at] = was;
	}
	for (size_t len = 0; len < file.len; len++) {
		put_file(dir, name, span_of(file.ptr, len));
		expect(name, len, 0, 0);
	}
	put_file(dir, name, buf_span(&file));
	assert_is_ok(buf_put_u8(&file, '\n'));
	put_file(dir, name, buf_span(&file));
	expect(name, file.len, 0, 0);
	/* One more signature, of nobody we know, is a change, too. */
	file.len--;
	assert_is_ok(buf_put_str(&file, "\xe2\x80\x94 other AAAAAAAAAAAA\n"));
	put_file(dir, name, buf_span(&file));
	expect(name, file.len, 0, 0);
	file.len -= sizeof("\xe2\x80\x94 other AAAAAAAAAAAA\n") - 1;
	put_file(dir, name, buf_span(&file));
	intact(NULL);
}

static void
each_byte_of_the_signed_files(void **arg)
{
	(void)arg;
	each_byte_of(state.audit, "checkpoint");
	each_byte_of(state.dir, "audit.head");
	each_byte_of(state.dir, "audit.pub");
}

/* A log of the given lines; 0 ends. */
static void
put_lines(const size_t *seqs)
{
	auto_buf struct buf out = BUF_INIT(FILE_MAX);

	for (; *seqs != 0; seqs++)
		assert_is_ok(buf_put_span(&out, line(*seqs)));
	put_file(state.audit, "00000001.jsonl", buf_span(&out));
}

/* All records, with `extra` before record `before`, without `without`. */
static void
put_edited(size_t without, size_t without2, size_t extra, size_t before)
{
	size_t seqs[RECORDS + 3], n = 0;

	for (size_t i = 1; i <= RECORDS + 1; i++) {
		if (i == before)
			seqs[n++] = extra;
		if (i <= RECORDS && i != without && i != without2)
			seqs[n++] = i;
	}
	seqs[n] = 0;
	put_lines(seqs);
}

static void
each_line_removed(void **arg)
{
	(void)arg;
	for (size_t i = 1; i <= RECORDS; i++) {
		put_edited(i, 0, 0, 0);
		expect("without", i, i == RECORDS ? AUDITLOG_CUT_OFF : AUDITLOG_REMOVED, i);
		if (i == RECORDS)
			continue;
		put_edited(i, i + 1, 0, 0);
		expect("without two", i, i + 1 == RECORDS ? AUDITLOG_CUT_OFF : AUDITLOG_REMOVED, i);
	}
	restore();
}

static void
each_line_inserted(void **arg)
{
	(void)arg;
	for (size_t i = 1; i <= RECORDS; i++) {
		for (size_t at = 1; at <= RECORDS + 1; at++) {
			/* Beside itself: the second of the two is the one too many. */
			put_edited(0, 0, i, at);
			expect(
			    "copy before", i * 100 + at, AUDITLOG_INSERTED, at == i ? i + 1 : at);
		}
	}
	restore();
}

static void
each_line_moved(void **arg)
{
	(void)arg;
	for (size_t i = 1; i <= RECORDS; i++) {
		for (size_t at = 1; at <= RECORDS + 1; at++) {
			if (at == i || at == i + 1)
				continue;
			put_edited(i, 0, i, at);
			expect("moved to", i * 100 + at, AUDITLOG_REORDERED, at < i ? at : i);
		}
	}
	restore();
}

static void
strangers_inserted(void **arg)
{
	static const char *const strangers[] = { "\n", "{}\n", "garbage\n", "\n\n\n",
		"{\"ts\":\"2026-01-01T00:00:00.000000000Z\",\"prev\":\"\",\"seq\":3}\n" };

	(void)arg;
	for (size_t i = 0; i < COUNT(strangers); i++) {
		for (size_t at = 1; at <= RECORDS + 1; at++) {
			auto_buf struct buf out = BUF_INIT(FILE_MAX);

			assert_is_ok(buf_put(&out, segment.ptr, line_at[at]));
			assert_is_ok(buf_put_str(&out, strangers[i]));
			assert_is_ok(
			    buf_put_span(&out, span_from(buf_span(&segment), line_at[at])));
			put_file(state.audit, "00000001.jsonl", buf_span(&out));
			expect("stranger", i * 100 + at, at <= RECORDS ? AUDITLOG_INSERTED : 0, at);
		}
	}
	restore();
}

static void
each_cut(void **arg)
{
	(void)arg;
	for (size_t len = 0; len < segment.len; len++) {
		put_file(state.audit, "00000001.jsonl", span_of(segment.ptr, len));
		expect("cut", len, AUDITLOG_CUT_OFF, len == 0 ? 1 : line_of(len));
	}
	restore();
}

/* The whole log of yesterday, properly signed: audit.head knows better. */
static void
rolled_back(void **arg)
{
	auto_buf struct buf old = BUF_INIT(FILE_MAX), now = BUF_INIT(FILE_MAX);

	(void)arg;
	assert_is_ok(io_read_file(state.dir, "old-head", &old));
	assert_is_ok(io_read_file(state.audit, "checkpoint", &now));
	put_file(state.audit, "checkpoint", buf_span(&old));
	put_file(state.audit, "00000001.jsonl", span_of(segment.ptr, line_at[RECORDS / 2 + 1]));
	expect("rolled back", 0, AUDITLOG_CUT_OFF, RECORDS / 2 + 1);
	/* With an older head as well nobody can tell: that is what copies elsewhere are for. */
	put_file(state.audit, "checkpoint", buf_span(&now));
	put_file(state.dir, "audit.head", buf_span(&old));
	restore();
}

static void
head_behind(void **arg)
{
	auto_buf struct buf now = BUF_INIT(FILE_MAX);
	struct auditlog_result r;

	(void)arg;
	/* audit.head may be a second old: still intact, and changes before it are pinned down. */
	r = verify();
	assert_int_equal(r.verdict, AUDITLOG_INTACT);
	assert_int_equal(r.head_records, RECORDS / 2);
	assert_is_ok(io_read_file(state.audit, "checkpoint", &now));
	put_file(state.dir, "audit.head", buf_span(&now));
	intact(NULL);
}

/* The chain made anew after a change: only the signature tells. */
static void
chain_made_anew(void **arg)
{
	auto_buf struct buf out = BUF_INIT(FILE_MAX);
	uint8_t leaf[SHA256_LEN] = { 0 };

	(void)arg;
	for (size_t i = 1; i <= RECORDS; i++) {
		size_t start = out.len;

		assert_is_ok(buf_put_span(&out, line(i)));
		hex_encode(span_of(leaf, SHA256_LEN), (char *)out.ptr + start + 47);
		if (i == 5)
			out.ptr[start + 20] ^= 1; /* a digit of its time */
		assert_is_ok(merkle_leaf_hash(span_of(out.ptr + start, out.len - start - 1), leaf));
	}
	put_file(state.audit, "00000001.jsonl", buf_span(&out));
	expect("made anew", 5, AUDITLOG_CHANGED, 0);
	restore();
}

/* Beyond the signed head: whole records count, the start of one is in flight, else not. */
static void
beyond_the_head(void **arg)
{
	const struct log_opts opts = { .segment_max = FILE_MAX, .reserve = 0 };
	auto_buf struct buf grown = BUF_INIT(FILE_MAX);
	struct auditlog_result r;
	struct log l;

	(void)arg;
	log_open_ok(&state, &l, &opts);
	for (uint64_t i = 1; i <= 3; i++)
		append_plain(&l, RECORDS + i, false);
	assert_is_ok(log_commit(&l));
	log_close(&l);
	assert_is_ok(io_read_file(state.audit, "00000001.jsonl", &grown));
	for (size_t len = segment.len; len <= grown.len; len++) {
		put_file(state.audit, "00000001.jsonl", span_of(grown.ptr, len));
		r = verify();
		if (r.verdict != AUDITLOG_INTACT)
			test_fail("grown to %zu: %s", len, r.why);
		assert_int_equal(r.signed_records, RECORDS);
		assert_int_equal(r.records > RECORDS || r.tail_bytes > 0, len > segment.len);
	}
	/* A change there breaks the chain, but for the very last record. */
	grown.ptr[segment.len + 200] ^= 1;
	put_file(state.audit, "00000001.jsonl", buf_span(&grown));
	expect("unsigned", 0, AUDITLOG_CHANGED, RECORDS + 1);
	grown.len = segment.len;
	assert_is_ok(buf_put_str(&grown, "{\"ts\":\"x"));
	grown.ptr[grown.len - 3] = '!';
	put_file(state.audit, "00000001.jsonl", buf_span(&grown));
	expect("no start of a record", 0, AUDITLOG_INSERTED, RECORDS + 1);
	restore();
	intact(NULL);
}

static void
files_missing(void **arg)
{
	(void)arg;
	for (size_t i = 0; i < 4; i++) {
		static const char *const names[] = { "checkpoint", "audit.head", "audit.pub",
			"00000001.jsonl" };
		auto_buf struct buf keep = BUF_INIT(FILE_MAX);
		int dir = i == 0 || i == 3 ? state.audit : state.dir;
		struct auditlog_result r;

		assert_is_ok(io_read_file(dir, names[i], &keep));
		assert_int_equal(unlinkat(dir, names[i], 0), 0);
		r = verify();
		assert_int_equal(r.verdict, i == 2 ? AUDITLOG_UNREADABLE : AUDITLOG_TAMPERED);
		if (i == 3) {
			assert_int_equal(r.fault, AUDITLOG_CUT_OFF);
			assert_int_equal(r.seq, 1);
		}
		put_file(dir, names[i], buf_span(&keep));
	}
	intact(NULL);
}

/* The log opens what the verifier calls intact, and nothing that it calls tampered. */
static void
the_log_does_not_open_it(void **arg)
{
	const struct log_opts opts = { .segment_max = FILE_MAX, .reserve = 0 };
	const struct log_keys keys = { state.key, NULL };

	(void)arg;
	for (size_t at = 0; at < segment.len; at += 5) {
		const char *why = "";
		struct status st;
		struct log l;

		segment.ptr[at] ^= 1;
		restore();
		segment.ptr[at] ^= 1;
		st = log_open(&l, state.audit, INSTANCE, &keys, &opts, &why);
		log_close(&l);
		if (st.code != E_CORRUPT)
			test_fail("byte %zu: opened a changed log", at);
	}
	restore();
}

/* ---- several segments ---- */

static void
segments(void **arg)
{
	const struct log_opts opts = { .segment_max = 2048, .reserve = 0 };
	struct auditlog_result r;
	uint64_t at[8] = { 1 };
	uint32_t n;
	struct state s;
	struct log l;

	(void)arg;
	state_make(&s);
	log_open_ok(&s, &l, &opts);
	for (uint64_t i = 1; i <= 16; i++) {
		n = l.segment;
		append_plain(&l, i, false);
		assert_is_ok(log_commit(&l));
		if (l.segment != n)
			at[l.segment - 1] = i;
	}
	assert_in_range(l.segment, 3, 7);
	n = l.segment;
	assert_is_ok(log_checkpoint(&l));
	head_keep(&s, &l);
	log_close(&l);
	auditlog_verify(s.dir, &r);
	assert_int_equal(r.verdict, AUDITLOG_INTACT);
	assert_int_equal(r.records, 16);
	for (uint32_t i = 1; i <= n; i++) {
		char name[AUDITLOG_SEGMENT_NAME_LEN + 1];

		auditlog_segment_name(i, name);
		assert_int_equal(renameat(s.audit, name, s.audit, "away"), 0);
		auditlog_verify(s.dir, &r);
		assert_int_equal(r.verdict, AUDITLOG_TAMPERED);
		assert_int_equal(r.seq, at[i - 1]);
		assert_int_equal(r.fault, i == n ? AUDITLOG_CUT_OFF : AUDITLOG_REMOVED);
		assert_int_equal(renameat(s.audit, "away", s.audit, name), 0);
	}
	auditlog_verify(s.dir, &r);
	assert_int_equal(r.verdict, AUDITLOG_INTACT);
	state_remove(&s);
}

/* The last records, as `audit tail -n` shows them, and what is appended then. */
static void
tail_follows(void **arg)
{
	const struct log_opts opts = { .segment_max = 2048, .reserve = 0 };
	auto_auditlog struct auditlog_reader *reader = NULL;
	struct auditlog_head h;
	struct span text;
	struct state s;
	struct log l;

	(void)arg;
	state_make(&s);
	log_open_ok(&s, &l, &opts);
	for (uint64_t i = 1; i <= 16; i++) {
		append_plain(&l, i, false);
		assert_is_ok(log_commit(&l));
	}
	assert_is_ok(auditlog_open(s.audit, &reader));
	for (uint64_t count = 0; count <= 20; count++) {
		uint64_t first = count >= 16 ? 1 : 17 - count;

		assert_is_ok(auditlog_seek_last(reader, count));
		for (uint64_t seq = first; seq <= 16; seq++) {
			assert_is_ok(auditlog_next(reader, &text));
			assert_is_ok(auditlog_head_of(text, &h));
			assert_int_equal(h.seq, seq);
		}
		assert_int_equal(auditlog_next(reader, &text).code, E_EOF);
	}
	for (uint64_t i = 17; i <= 30; i++) {
		append_plain(&l, i, false);
		assert_is_ok(log_commit(&l));
		assert_is_ok(auditlog_next(reader, &text));
		assert_is_ok(auditlog_head_of(text, &h));
		assert_int_equal(h.seq, i);
		assert_int_equal(auditlog_next(reader, &text).code, E_EOF);
	}
	log_close(&l);
	state_remove(&s);
}

static void
nothing_there(void **arg)
{
	struct auditlog_result r;
	struct state s;

	(void)arg;
	state_make(&s);
	auditlog_verify(s.dir, &r);
	assert_int_equal(r.verdict, AUDITLOG_UNREADABLE);
	assert_int_equal(unlinkat(s.dir, "audit", AT_REMOVEDIR), 0);
	auditlog_verify(s.dir, &r);
	assert_int_equal(r.verdict, AUDITLOG_UNREADABLE);
	state_remove(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(intact),
		cmocka_unit_test(each_byte_of_the_records),
		cmocka_unit_test(each_byte_of_the_signed_files),
		cmocka_unit_test(each_line_removed),
		cmocka_unit_test(each_line_inserted),
		cmocka_unit_test(each_line_moved),
		cmocka_unit_test(strangers_inserted),
		cmocka_unit_test(each_cut),
		cmocka_unit_test(rolled_back),
		cmocka_unit_test(head_behind),
		cmocka_unit_test(chain_made_anew),
		cmocka_unit_test(beyond_the_head),
		cmocka_unit_test(files_missing),
		cmocka_unit_test(the_log_does_not_open_it),
		cmocka_unit_test(segments),
		cmocka_unit_test(tail_follows),
		cmocka_unit_test(nothing_there),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
