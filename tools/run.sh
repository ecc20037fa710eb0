# SPDX-License-Identifier: Apache-2.0
# ./dev run: sourced by dev. Starts the service on a state directory of its own and shows one request from end to end.

state=$build/state
config=$state/sallyport.yaml
management=$state/run/management.sock
ready_wait_ds=300
sample_prompt="What is the 1000th prime number?"
sample_expects=7919

# The configuration names engines by path: follow them when they were built anew.
follow_engines() {
	local key old new
	for key in runsc image manifest; do
		old=$(engine_path "$state/engines.json" $key)
		new=$(engine_path "$build/engines.json" $key)
		[[ $old == "$new" ]] || sed -i "s|$old|$new|g" "$config"
	done
	cp "$build/engines.json" "$state/engines.json"
}

engine_path() { sed -n "s|.*\"$2\": \"\([^\"]*\)\".*|\1|p" "$1" | head -n 1; }

# Lines NAME=VALUE of init become lines for a shell: a value is quoted where it must be (a path with a blank), else left alone.
client_env() {
	local line value
	while IFS= read -r line; do
		value=${line#*=}
		[[ $value =~ ^[][A-Za-z0-9_@%+:,./-]*$ ]] || value=$(shell_quote "$value")
		printf '%s=%s\n' "${line%%=*}" "$value"
	done
}

shell_quote() { printf "'%s'" "${1//\'/\'\\\'\'}"; }

state_prepare() {
	if [[ -e $config && -e $state/client.env && -e $state/engines.json ]]; then
		cmp -s "$build/engines.json" "$state/engines.json" || follow_engines
		return
	fi
	rm -rf "$state"
	(umask 077 && "$build/sallyport" init "$state" ${SALLYPORT_LISTEN:+--listen "$SALLYPORT_LISTEN"} | client_env >"$build/client.env.new")
	cp "$build/engines.json" "$state/engines.json"
	# Who came by sudo is the client, too.
	[[ -z ${SUDO_UID-} ]] || chown "$SUDO_UID" "$build/client.env.new"
	mv "$build/client.env.new" "$state/client.env"
	say "made $state: fresh keys, a certificate of its own local CA"
}

service_start() {
	"$build/sallyport" serve -c "$config" >"$logs/serve.log" 2>&1 </dev/null &
	service=$!
	trap service_stop EXIT
	trap 'exit 0' INT TERM
	local tries=0
	until curl -fsS --max-time 2 --unix-socket "$management" http://localhost/readyz >/dev/null 2>&1; do
		kill -0 "$service" 2>/dev/null || service_failed "ended before it was ready"
		((++tries < ready_wait_ds)) || service_failed "is not ready after $((ready_wait_ds / 10)) s"
		sleep 0.1
	done
}

service_failed() {
	say "the service $1, log $logs/serve.log:"
	tail -n $log_tail_lines "$logs/serve.log" | sed 's/^/    /' >&2
	exit 1
}

service_stop() {
	[[ -n ${service-} ]] || return 0
	local rc=0
	kill -TERM "$service" 2>/dev/null || true
	wait "$service" || rc=$?
	service=
	return $rc
}

heading() { printf '\n── %s\n' "$*"; }

sample() {
	local answer=$build/sample rc=0
	mkdir -p "$answer"
	/usr/bin/python3 "$here/tools/sample.py" request "$SALLYPORT_MODEL" "$sample_prompt" >"$answer/request.json"
	curl -sS --max-time 60 --cacert "$SALLYPORT_CA_FILE" -D "$answer/headers" -o "$answer/body.json" \
		-H @<(printf 'Authorization: Bearer %s\n' "$SALLYPORT_API_KEY") -H 'Content-Type: application/json' \
		--data-binary @"$answer/request.json" "$SALLYPORT_URL/v1/chat/completions"
	/usr/bin/python3 "$here/tools/sample.py" show "$sample_prompt" "$sample_expects" "$answer" "$state/audit" || rc=1
	heading "verification of the audit log"
	"$build/sallyport" audit verify -c "$config" || rc=1
	return $rc
}

# The first model that this key may use.
first_model() {
	curl -fsS --max-time 10 --cacert "$SALLYPORT_CA_FILE" -H @<(printf 'Authorization: Bearer %s\n' "$SALLYPORT_API_KEY") \
		"$SALLYPORT_URL/v1/models" | /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["data"][0]["id"])'
}

how_to_call() {
	local env=$state/client.env
	[[ $env != *[!A-Za-z0-9_@%+:,./-]* ]] || env=$(shell_quote "$env")
	heading "call it yourself"
	cat <<-END
	set -a; . $env; set +a

	curl --cacert "\$SALLYPORT_CA_FILE" -H "Authorization: Bearer \$SALLYPORT_API_KEY" -H 'Content-Type: application/json' \\
	    -d '{"language": "python", "code": "print(6 * 7)"}' "\$SALLYPORT_URL/v1/execute"

	# Python, pip install openai
	import os, httpx, openai, ssl
	client = openai.OpenAI(base_url=os.environ["SALLYPORT_URL"] + "/v1", api_key=os.environ["SALLYPORT_API_KEY"],
	    http_client=httpx.Client(verify=ssl.create_default_context(cafile=os.environ["SALLYPORT_CA_FILE"])))
	answer = client.chat.completions.create(model="$SALLYPORT_MODEL",
	    messages=[{"role": "user", "content": "$sample_prompt"}],
	    tools=[{"type": "code_interpreter"}])
	print(answer.choices[0].message.content)
	END
}

cmd_run() {
	local once= rc=0
	[[ ${1-} != --once ]] || once=1
	cmd_build
	state_prepare
	service_start
	set -a
	# shellcheck disable=SC1091
	. "$state/client.env"
	set +a
	SALLYPORT_MODEL=$(first_model) || service_failed "does not list its models"
	sample || rc=1
	if [[ -n $once ]]; then
		service_stop || { say "the service did not end well, log $logs/serve.log"; rc=1; }
		"$build/sallyport" audit verify -c "$config" >/dev/null || { say "the audit log of the stopped service does not verify"; rc=1; }
		((rc == 0)) && say "all steps were right" || say "a step was wrong"
		exit $rc
	fi
	how_to_call
	heading "serving on $SALLYPORT_URL until Ctrl-C"
	wait "$service"
}
