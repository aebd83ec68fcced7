#!/usr/bin/env bash
# docs:begin
set -euo pipefail
cli=${TOXIPROXY_CLI:-toxiproxy-cli}
dcp=$TOXIPROXY_URL/dcp/v1/proxies/dcp

"$cli" create --listen 127.0.0.1:0 --upstream "$PRODUCER" dcp
port=$(curl -sf "$TOXIPROXY_URL/proxies/dcp" | jq -r '.listen | split(":")[1]')

# The application under test, told the proxy's port instead of the producer's.
$APPLICATION "$port" >/dev/null &
trap 'kill %1; "$cli" delete dcp' EXIT
until curl -sf "$dcp/connections" | jq -e 'any(.connections[]; .edges.upstream.streams.live > 0)' >/dev/null; do sleep 0.05; done

# Closed in the middle of what it is receiving; then the producer is told what a consumer says whose stream is gone.
"$cli" toxic add --type dcp_close_stream --toxicName close dcp
until curl -sf "$TOXIPROXY_URL/metrics" | grep 'dcproxy_faults_fired_total{proxy="dcp"' >/dev/null; do sleep 0.05; done
report=$(curl -sf -X POST "$dcp/verdict")
jq -r '(., .connections[]).findings[] | select(.verdict != "pass") | "\(.id) (\(.verdict)): found \(.actual)"' <<<"$report"
[ "$(jq -r .verdict <<<"$report")" = pass ]
# docs:end
