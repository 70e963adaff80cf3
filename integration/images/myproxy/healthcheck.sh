#!/bin/bash
# Succeeds when the server completes a TLS handshake: one without a readable
# credential accepts connections and drops them.
set -eu
openssl s_client -connect 127.0.0.1:7512 -brief </dev/null 2>&1 | grep -q 'CONNECTION ESTABLISHED'
