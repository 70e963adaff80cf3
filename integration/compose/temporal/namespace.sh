#!/bin/sh
# Makes gridferry's namespace. The retention is how long an ended transfer can
# be looked at in Temporal; what the workers record of it outlives that.
set -eu

if ! temporal operator namespace describe --namespace "$NAMESPACE" >/dev/null 2>&1; then
	temporal operator namespace create --namespace "$NAMESPACE" --retention 720h
fi
