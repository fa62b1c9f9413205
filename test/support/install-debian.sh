#!/usr/bin/env bash
# Unpacks Debian packages, and those of their dependencies that this machine lacks, into a folder of their own.
# Nothing is installed, no service is started, no root is needed; apt only downloads.
#
#   install-debian.sh FOLDER PACKAGE...
#
# Afterwards FOLDER/usr/bin, FOLDER/usr/sbin, FOLDER/usr/lib hold the programs; FOLDER/env.sh sets PATH and
# LD_LIBRARY_PATH to use them. Packages that are installed already need nothing and are left alone.
# Leaves with 69 and says why where it cannot (no apt, no network).
set -euo pipefail

fail() {
  echo "install-debian.sh: $*" >&2
  exit 69
}

[ $# -ge 2 ] || { echo "usage: install-debian.sh FOLDER PACKAGE..." >&2; exit 64; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift
[ "$(cat "$folder/packages" 2>/dev/null)" != "$*" ] || exit 0
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || fail "this is no Debian: no apt-get, no dpkg-deb"

# A simulated installation names what is missing. Recommended packages are of no use here.
missing() {
  apt-get install --simulate --no-install-recommends -qq "$@" 2>/dev/null | awk '$1 == "Inst" { print $2 }'
}
wanted=$(missing "$@") || {
  if [ "$(id -u)" = 0 ]; then apt-get update -qq >/dev/null 2>&1 || true; fi
  wanted=$(missing "$@") || fail "apt does not know of $* (apt-get update needed?)"
}

downloads=$(mktemp -d)
trap 'rm -rf "$downloads"' EXIT
chmod 755 "$downloads" # apt downloads as a user of its own
cd "$downloads"
if [ -n "$wanted" ]; then
  # shellcheck disable=SC2086
  timeout 300 apt-get download -qq $wanted >/dev/null 2>&1 || fail "cannot download $wanted"
  for package in *.deb; do dpkg-deb -x "$package" "$folder"; done
fi

cat >"$folder/env.sh" <<END
export PATH="$folder/usr/sbin:$folder/usr/bin:\$PATH:/usr/sbin"
export LD_LIBRARY_PATH="$folder/usr/lib/postfix:$folder/usr/lib/$(dpkg --print-architecture | sed s/amd64/x86_64/)-linux-gnu:$folder/usr/lib\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
END
echo "$*" >"$folder/packages"
