#!/bin/sh
# Signs with a PKCS#11 token for ratchet-release. Usage: sign-pkcs11.sh MODULE TOKEN ID, as the
# command of a key file (docs/formats/workspace.md). TOKEN is its label, ID that of the key, in hex:
# pkcs11-tool passes over a key's label when it signs.
#
#	public = "release.pub.pem"
#	command = ["./sign-pkcs11.sh", "/usr/lib/softhsm/libsofthsm2.so", "release", "01"]
#
# The PIN comes from the environment, PKCS11_PIN. Needs pkcs11-tool (package opensc).
set -eu
[ $# = 3 ] || { echo "usage: sign-pkcs11.sh MODULE TOKEN ID" >&2; exit 2; }
: "${PKCS11_PIN:?set it to the PIN of the token}"
request=$(cat)
member() { printf '%s' "$request" | sed -n 's/.*"'"$1"'":"\([^"]*\)".*/\1/p'; }
umask 077
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
case $(member algorithm) in
ESP256 | ESP384) mechanism=ECDSA content=$(member digest) ;;
Ed25519) mechanism=EDDSA content=$(member message) ;;
*) echo "sign-pkcs11.sh: the token does not do this algorithm" >&2; exit 1 ;;
esac
printf '%s' "$content" | base64 -d >"$dir/content"
pkcs11-tool --module "$1" --token-label "$2" --id "$3" --login --pin env:PKCS11_PIN \
	--sign --mechanism "$mechanism" --input-file "$dir/content" --output-file "$dir/signature" >&2
base64 <"$dir/signature"
