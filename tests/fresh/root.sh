# Sourced: a minimal Debian 12 in a folder, with a clean clone of this checkout in it.
# shellcheck shell=bash
# Sets `checkout`, `directory`, `root` and `certificates`; FRESH_DIR moves the folder.
checkout=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)
directory=${FRESH_DIR:-/tmp/kumo-fresh}
base=$directory/base.tar root=$directory/root
[ "$(id -u)" = 0 ] || { echo "failed: run it as root" >&2; exit 1; }

make_base() {
  command -v debootstrap >/dev/null || { echo "failed: debootstrap is missing; apt-get install debootstrap" >&2; exit 1; }
  rm -rf "$directory/base"
  debootstrap --variant=minbase bookworm "$directory/base" >"$directory/debootstrap.log"
  tar -C "$directory/base" -cf "$base.part" .
  mv "$base.part" "$base"
  rm -rf "$directory/base"
}

# The machine's way to its package registries: sources, resolver, certificates.
copy_registries() {
  rm -f "$root/etc/apt/sources.list"
  cp -r /etc/apt/sources.list "$root/etc/apt/" 2>/dev/null || true
  cp -r /etc/apt/sources.list.d/. "$root/etc/apt/sources.list.d/"
  cp -r /etc/apt/apt.conf.d/99* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
  cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
  cp -L "${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}" "$root/machine-ca.crt"
}

make_root() {
  mkdir -p "$directory"
  [ -s "$base" ] || make_base
  rm -rf --one-file-system "$root"
  mkdir -p "$root"
  tar -C "$root" -xf "$base"
  copy_registries
  git clone -q "$checkout" "$root/root/kumo" # below /root, where many a first user puts it
}

certificates=() # variables of the fresh machine's environment
for name in PIP_CERT REQUESTS_CA_BUNDLE SSL_CERT_FILE CURL_CA_BUNDLE; do certificates+=("$name=/machine-ca.crt"); done
for name in PIP_INDEX_URL http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
  [ -z "${!name:-}" ] || certificates+=("$name=${!name}")
done
