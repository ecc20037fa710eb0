# SPDX-License-Identifier: Apache-2.0
# ./dev test: sourced by dev. Every suite runs, also after a failing one; the last line sums them up.

fuzz_seconds=${FUZZ_SECONDS:-20}
passed=0 failed=0 skipped=0

# count PASSED FAILED SKIPPED
count() {
	passed=$((passed + $1))
	failed=$((failed + $2))
	skipped=$((skipped + $3))
}

# check NAME COMMAND...: a suite that is one test.
check() {
	if step "$@"; then count 1 0 0; else count 0 1 0; fi
}

# run_unit NAME BUILD-DIR [TIMEOUT-FACTOR]: every unit test program is one test.
run_unit() {
	local name=$1 dir=$2 log=$logs/${1// /-}.log ok bad skip
	step "$name" meson test -C "$dir" --no-rebuild --print-errorlogs --num-processes 2 --timeout-multiplier "${3:-1}" || true
	ok=$(sum_of "$log" '^(Ok|Expected Fail):')
	bad=$(sum_of "$log" '^(Fail|Unexpected Pass|Timeout):')
	skip=$(sum_of "$log" '^Skipped:')
	if ((ok + bad + skip == 0)); then
		say "$name: no test ran"
		bad=1
	fi
	count "$ok" "$bad" "$skip"
	say "    $ok passed, $bad failed, $skip skipped"
}

sum_of() { awk -v pattern="$2" '$0 ~ pattern { n += $NF } END { print n + 0 }' "$1"; }

# run_pytest NAME PATHS...: the counts come from pytest's own report.
run_pytest() {
	local name=$1 report tmp counts
	shift
	report=$logs/$name.xml
	rm -f "$report"
	tmp=$(mktemp -d)
	chmod 700 "$tmp"
	COLUMNS=200 PYTHONDONTWRITEBYTECODE=1 SALLYPORT_BUILD=$build step "$name" "$venv_python" -m pytest -p no:cacheprovider -v -rA --durations=15 \
		--timeout=300 --basetemp="$tmp/t" --rootdir="$here/tests" --junitxml="$report" "$@" || true
	rm -rf "$tmp"
	if ! counts=$("$venv_python" "$here/tools/junit_counts.py" "$report"); then
		say "$name: no report"
		counts="0 1 0"
	fi
	# shellcheck disable=SC2086
	count $counts
	say "    $(printf '%s passed, %s failed, %s skipped' $counts)"
	grep -E '^SKIPPED' "$logs/$name.log" >&2 || true
}

has_tests() { compgen -G "$here/tests/$1/test_*.py" >/dev/null; }

run_fuzz() {
	local target targets pids=() running=0
	mapfile -t targets < <(fuzz_targets)
	for target in "${targets[@]}"; do
		fuzz_one "$target" "$fuzz_seconds" 1 >"$logs/fuzz-$target.log" 2>&1 &
		pids+=($!)
		((++running % 2 == 0)) && fuzz_collect
	done
	fuzz_collect
}

# Two at a time; each target is one test.
fuzz_collect() {
	local pid name at
	for pid in "${pids[@]}"; do
		at=$((fuzz_done++))
		name=${targets[$at]}
		if wait "$pid"; then
			count 1 0 0
			printf '%-28s ok  %s\n' "fuzz $name" "$(grep -o 'stat::number_of_executed_units:.*' "$logs/fuzz-$name.log" | tr -s ' ' | cut -d: -f4) executions" >&2
		else
			count 0 1 0
			printf '%-28s FAILED, log %s:\n' "fuzz $name" "$logs/fuzz-$name.log" >&2
			tail -n $log_tail_lines "$logs/fuzz-$name.log" | sed 's/^/    /' >&2
		fi
	done
	pids=()
}

# A parser with one planted fault: if the fuzzer does not find it, a clean run of the others means nothing.
fuzz_planted() {
	local out=$build/fuzz-planted
	mkdir -p "$out/corpus"
	clang-14 -g -O1 -fsanitize=fuzzer,address,undefined -o "$out/planted" "$here/tests/fuzz/planted/planted.c" || return 1
	rm -f "$out"/crash-* "$out"/corpus/*
	if "$out/planted" -seed=1 -max_total_time=60 -artifact_prefix="$out/" "$out/corpus"; then
		echo "the planted fault was not found"
		return 1
	fi
	ls "$out"/crash-*
}

# Only what was found, not which files were looked at.
static_tidy() {
	local rc=0
	cd "$here"
	run-clang-tidy-14 -quiet -p "$build/tidy" -j 2 "$here/(lib|src)/.*\.c\$" >"$logs/clang-tidy-all.log" 2>&1 || rc=$?
	sed 's/\x1b\[[0-9;]*[mK]//g' "$logs/clang-tidy-all.log" | grep -vE '^clang-tidy-14|warnings? generated|^$' || true
	return $rc
}

# cppcheck knows neither the macros of sys/queue.h without their file nor __attribute__((cleanup)), and takes a struct status
# that is returned for the arguments it was made from.
static_cppcheck() {
	cd "$here"
	cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --enable=warning,performance,portability \
		--suppress=missingIncludeSystem --suppress=unknownMacro --suppress=memleak --suppress=resourceLeak --suppress=returnDanglingLifetime \
		--include="/usr/include/$(gcc -dumpmachine)/sys/queue.h" -D_GNU_SOURCE -j 2 \
		$(for dir in lib/*/; do printf -- '-I %s ' "$dir"; done) -I . lib src guest
}

# clang-tidy wants clang's own flags and the generated files.
tidy_tree() {
	CC=clang-14 tree "$build/tidy" -Dtests=false -Dwerror=false -Dc_args='-Wno-format-nonliteral -Wno-sign-conversion'
}

cmd_test() {
	local begun fuzz_done=0
	begun=$(now_ms)
	packages_install "${build_packages[@]}" "${test_packages[@]}"
	engines
	check "plain tree" tree "$build"
	run_unit "unit" "$build"
	check "sanitizer tree" tree "$build/asan" -Db_sanitize=address,undefined -Dwerror=false
	ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 run_unit "unit asan" "$build/asan" 3
	check "advisories" "$here/engines/wasmtime/advisories.py" audit
	tail -n 1 "$logs/advisories.log" | sed 's/^/    /' >&2
	check "format" cmd_fmt --check
	check "fuzz tree" fuzz_tree
	run_fuzz
	check "fuzz planted fault" fuzz_planted
	check "clang tree" tidy_tree
	check "clang-tidy" static_tidy
	check "cppcheck" static_cppcheck
	test_venv
	test_servers
	test_vm_root
	run_pytest system "$here/tests/system"
	! has_tests jail || run_pytest jail "$here/tests/jail"
	! has_tests escape || run_pytest escape "$here/tests/escape"
	say "in $(seconds $(($(now_ms) - begun)))"
	echo "$passed passed, $failed failed, $skipped skipped"
	((failed == 0))
}
