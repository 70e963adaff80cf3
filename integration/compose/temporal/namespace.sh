#!/bin/sh
# Makes gridferry's namespace. The retention is how long an ended transfer can
# be looked at in Temporal; what the workers record of it outlives that.
set -eu

if ! temporal operator namespace describe --namespace "$NAMESPACE" >/dev/null 2>&1; then
	temporal operator namespace create --namespace "$NAMESPACE" --retention 720h
fi

# The frontend learns of a new namespace some seconds later, and refuses until
# then those who start next.
attempts=60
until temporal workflow list --namespace "$NAMESPACE" --limit 1 >/dev/null; do
	attempts=$((attempts - 1))
	[ "$attempts" -gt 0 ] || exit 1
	sleep 1
done
