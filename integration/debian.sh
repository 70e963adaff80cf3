#!/bin/bash
# Brings what the tests need from Debian: usage, debian.sh CACHE [PACKAGE...]
#
# As root on Debian it installs what is missing; elsewhere it says what is, and
# the tests that need it are skipped. CACHE/debian gets what is unpacked instead:
# servers of FTP and of the web that exclude each other, and that would listen
# on ports 21 and 80 once installed.
set -euo pipefail

cache=$(realpath --canonicalize-missing "$1")
shift
packages=(
	globus-gass-copy-progs globus-gridftp-server-progs globus-proxy-utils globus-gsi-cert-utils-progs
	myproxy myproxy-admin myproxy-server
	iproute2 nftables openssh-client openssh-server openssl pamtester postgresql procps python3-aiosmtpd
	"$@"
)
unpacked=(
	vsftpd
	proftpd-core libhashkit2 libhiredis0.14 libmemcached11 libmemcachedutil2 libpcre2-posix3
	apache2-bin libapr1 libaprutil1
	nginx libnginx-mod-http-dav-ext
	xrootd-server xrootd-server-plugins libxrdserver3 libxrdutils3 libxrdcrypto2 libxrdhttputils2
)

if ! command -v apt-get >/dev/null; then
	echo "This is not Debian. Tests are skipped unless these Debian packages' programs are here: ${packages[*]} ${unpacked[*]}"
	exit 0
fi

missing=()
for package in "${packages[@]}"; do
	[[ $(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
done
wanted=()
for package in "${unpacked[@]}"; do
	[[ -e $cache/debian/.unpacked/$package ]] || wanted+=("$package")
done
if ((${#missing[@]} + ${#wanted[@]} == 0)); then
	exit 0
fi
if ((EUID != 0)); then
	echo "Not root, so nothing is installed. Tests are skipped that need one of these Debian packages: ${missing[*]} ${wanted[*]}"
	exit 0
fi

export DEBIAN_FRONTEND=noninteractive
apt=(apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)

# fresh runs a command, and again with new package lists when it fails: there
# may be none yet, or they may name what the mirror no longer has.
fresh() {
	"$@" </dev/null || { "${apt[@]}" update </dev/null && "$@" </dev/null; }
}

if ((${#missing[@]})); then
	echo "Installing ${missing[*]}"
	fresh "${apt[@]}" install --no-install-recommends "${missing[@]}"
fi
if ((${#wanted[@]})); then
	echo "Unpacking ${wanted[*]} into $cache/debian"
	mkdir -p "$cache/debian/.unpacked"
	downloads=$(mktemp -d)
	trap 'rm -rf "$downloads"' EXIT
	# apt's own user must be able to write there.
	chmod 755 "$downloads"
	chown _apt "$downloads"
	cd "$downloads"
	fresh "${apt[@]}" download "${wanted[@]}"
	for deb in ./*.deb; do
		dpkg --extract "$deb" "$cache/debian"
	done
	for package in "${wanted[@]}"; do
		touch "$cache/debian/.unpacked/$package"
	done
fi
