#!/bin/sh
# Prepares a GridFTP server and becomes it.
#
# From the environment:
#   HOST_CERT, HOST_KEY     files: the host's certificate and key, PEM
#   X509_CERT_DIR           directory of the authorities to trust
#   GRIDMAP                 file: which identity is which account
#   ACCOUNT, ACCOUNT_ID     the account that the gridmap names, made when absent,
#                           and its uid and gid
#   GLOBUS_HOSTNAME, GLOBUS_TCP_PORT_RANGE and others, as the server reads them
set -eu

# The server drops to whom the gridmap says, so the account must exist, and the
# files of a volume belong to its number and not to its name.
if ! getent passwd "$ACCOUNT" >/dev/null; then
	groupadd --gid "$ACCOUNT_ID" "$ACCOUNT"
	useradd --uid "$ACCOUNT_ID" --gid "$ACCOUNT_ID" --home-dir /data --shell /bin/sh "$ACCOUNT"
fi
chown "$ACCOUNT:" /data

# A secret arrives with whatever owner and mode it has outside; the server
# refuses a key that is not its own, or that others can read.
private=/run/gridftp
install -d -m 0700 "$private"
install -m 0644 "$HOST_CERT" "$private/hostcert.pem"
install -m 0400 "$HOST_KEY" "$private/hostkey.pem"
export X509_USER_CERT="$private/hostcert.pem" X509_USER_KEY="$private/hostkey.pem"

exec globus-gridftp-server -s -c /etc/gridftp.conf
