#!/usr/bin/env bash
# What toxiproxy's own command line can ask of dcproxy, with toxiproxy's own toxics: it is not told which of the two it talks to.
# It takes the API's address from TOXIPROXY_URL, and has no call for changing an address, for /reset and for /populate.
set -euo pipefail
cli=$TOXIPROXY_CLI

wrong() {
  printf 'line %s: expected %s, found %s\n' "${BASH_LINENO[1]}" "$1" "$2" >&2
  exit 1
}

# The arguments after the first are a command that must print that, and end well.
prints() {
  local expected=$1 found
  shift
  found=$("$@" 2>&1) || wrong "success of $*" "$found"
  [ "$found" = "$expected" ] || wrong "$expected" "$found"
}

# A command that must complain of that, and end with 1.
complains() {
  local expected=$1 found status=0
  shift
  found=$("$@" 2>&1) || status=$?
  [ "$status" = 1 ] && [ "$found" = "$expected" ] || wrong "1, $expected" "$status, $found"
}

attributes() {
  "$cli" inspect cli | grep "^$1"$'\t' | sed 's/.*attributes=//; s/\t/ /g'
}

[ -z "$("$cli" list)" ] || wrong 'no proxies' "$("$cli" list)"
prints 'Created new proxy cli' "$cli" create --listen 127.0.0.1:0 --upstream "$ECHO" cli
listen=$("$cli" list | cut -f2 | sed 's/\x1b[^m]*m//g')
[[ $("$cli" list) == *"$ECHO"*enabled*0* ]] || wrong 'an enabled proxy without toxics' "$("$cli" list)"
complains 'Failed to create proxy: Create: HTTP 409: proxy already exists' "$cli" create -l 127.0.0.1:0 -u "$ECHO" cli
complains 'Failed to retrieve proxy nobody: HTTP 404: proxy not found' "$cli" inspect nobody

# Milliseconds that a word takes to the echo and back, on a connection that is open all the while.
connect() {
  exec {socket}<>"/dev/tcp/${listen/://}"
}
millis() {
  local began=$EPOCHREALTIME word
  echo hello >&"$socket"
  read -r -t 10 word <&"$socket"
  [ "$word" = hello ] || wrong hello "$word"
  echo $(((${EPOCHREALTIME/./} - ${began/./}) / 1000))
}
connect
millis >/dev/null
prints "Added downstream latency toxic 'slow' on proxy 'cli'" "$cli" toxic add -t latency -n slow -a latency=500 cli
took=$(millis)
[ "$took" -ge 500 ] && [ "$took" -lt 2000 ] || wrong '500 ms' "$took"
complains "Failed to add toxic: failed to add toxic to proxy cli: AddToxic: HTTP 409: toxic already exists" \
  "$cli" toxic add -t latency -n slow cli
prints "Updated toxic 'slow' on proxy 'cli'" "$cli" toxic update -n slow --toxicity 0.5 -a jitter=1 cli
[ "$(attributes slow)" = '[ jitter=1 latency=500 ]' ] || wrong 'jitter 1, latency 500' "$(attributes slow)"
prints "Removed toxic 'slow' on proxy 'cli'" "$cli" toxic delete -n slow cli
took=$(millis)
[ "$took" -lt 500 ] || wrong 'no latency any more' "$took"
complains "Failed to remove toxic: failed to remove toxic 'slow' from proxy 'cli': HTTP 404: toxic not found" \
  "$cli" toxic delete -n slow cli
complains 'Failed to add toxic: failed to add toxic to proxy cli: AddToxic: HTTP 400: invalid toxic type' \
  "$cli" toxic add -t no_such_type cli

while read -r type sorted given; do
  for stream in upstream downstream; do
    flags=()
    for attribute in ${given//,/ }; do
      flags+=(-a "$attribute")
    done
    prints "Added $stream $type toxic '${type}_$stream' on proxy 'cli'" "$cli" toxic add -t "$type" "--$stream" "${flags[@]}" cli
    [ "$(attributes "${type}_$stream")" = "[ ${sorted//,/ } ]" ] || wrong "$sorted" "$(attributes "${type}_$stream")"
  done
done <<'TOXICS'
latency jitter=1,latency=5 latency=5,jitter=1
bandwidth rate=1000 rate=1000
slow_close delay=10 delay=10
timeout timeout=60000 timeout=60000
reset_peer timeout=60000 timeout=60000
slicer average_size=64,delay=10,size_variation=32 average_size=64,size_variation=32,delay=10
limit_data bytes=100000 bytes=100000
TOXICS
[ "$("$cli" inspect cli | wc -l)" = 14 ] || wrong '14 toxics' "$("$cli" inspect cli)"

prints 'Proxy cli is now disabled' "$cli" toggle cli
if (connect) 2>/dev/null; then wrong 'no connection' 'one'; fi
prints 'Proxy cli is now enabled' "$cli" toggle cli
(connect)
prints 'Deleted proxy cli' "$cli" delete cli
if (connect) 2>/dev/null; then wrong 'no connection' 'one'; fi
[ -z "$("$cli" list)" ] || wrong 'no proxies' "$("$cli" list)"
