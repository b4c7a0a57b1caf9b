#!/bin/sh
# llhttp.sh - the C files of llhttp out of Debian's package node-llhttp, unpacked into a folder.
#
#   sh host/cmake/llhttp.sh FOLDER
#
# The package is downloaded, not installed: installing it would bring Node along. Nothing of the machine is changed and
# root is not needed. apt-get checks what it downloads against the signed lists. A folder that holds the files already
# is left as it is, so a second build needs no network.
# SPDX-License-Identifier: Apache-2.0
set -eu

folder=$1
[ ! -f "$folder/llhttp.c" ] || exit 0

for tool in apt-get dpkg-deb; do
  command -v "$tool" >/dev/null 2>&1 || {
    echo "llhttp.sh: no $tool here" >&2
    exit 1
  }
done
mkdir -p "$(dirname -- "$folder")"
parent=$(CDPATH='' cd -- "$(dirname -- "$folder")" && pwd)
work=$(mktemp -d "$parent/llhttp.XXXXXX")
trap 'rm -rf "$work"' EXIT
# apt-get as root downloads as another user, who may write here.
chmod 777 "$work"
(cd "$work" && apt-get -qq download node-llhttp && dpkg-deb -x node-llhttp_*.deb package) >&2
mkdir "$work/files"
cp "$work"/package/usr/share/llhttp/*.c "$work"/package/usr/share/include/llhttp/llhttp.h \
  "$work"/package/usr/share/doc/node-llhttp/copyright "$work/files"
# Whoever unpacks at the same time has the same files.
mv -T "$work/files" "$parent/$(basename -- "$folder")" 2>/dev/null || [ -f "$folder/llhttp.c" ]
