#!/bin/sh
# Prepares a MyProxy server, starts it and stays until it ends.
#
# From the environment:
#   HOST_CERT, HOST_KEY   files: the host's certificate and key, PEM
#   X509_CERT_DIR         directory of the authorities to trust
set -eu

# The repository must belong to the server's own user, and so must a key that
# others cannot read.
private=/run/myproxy
install -d -m 0700 -o myproxy -g myproxy "$private" /var/lib/myproxy
install -m 0644 -o myproxy -g myproxy "$HOST_CERT" "$private/hostcert.pem"
install -m 0400 -o myproxy -g myproxy "$HOST_KEY" "$private/hostkey.pem"
export X509_USER_CERT="$private/hostcert.pem" X509_USER_KEY="$private/hostkey.pem"

# It always goes to the background, unless it is to serve a single connection.
setpriv --reuid=myproxy --regid=myproxy --clear-groups \
	myproxy-server -v -c /etc/myproxy-server.config -s /var/lib/myproxy -p 7512 -P "$private/pid"
i=0
until [ -s "$private/pid" ]; do
	i=$((i + 1))
	[ "$i" -le 100 ] || { echo "myproxy-server did not start" >&2; exit 1; }
	sleep 0.1
done
pid=$(cat "$private/pid")
trap 'kill "$pid"' TERM INT
tail --pid="$pid" --follow /dev/null &
wait $!
