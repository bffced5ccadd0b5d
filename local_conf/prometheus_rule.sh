#!/bin/sh
# Prints the rules of prometheus/rules as the object that the Prometheus operator reads.
set -eu
cd "$(dirname "$0")/.."
cat <<'Y'
# Written by `make dashboards` from prometheus/rules.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: loadtest
  labels: {app.kubernetes.io/part-of: loadtest}
spec:
  groups:
Y
for file in prometheus/rules/*.yml; do
  sed -n '/^groups:/,$ {/^groups:/!s/^\(.\)/  \1/p}' "$file"
done
