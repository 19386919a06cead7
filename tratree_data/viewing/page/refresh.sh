#!/bin/sh
# Downloads the one library of the page from its npm package, with its licence: sh tratree_data/viewing/page/refresh.sh [version]
# The files are kept in the repository unchanged, so that viewing a tree does not need npm.
set -eu
cd "$(dirname "$0")/vendor"
version="${1:-3}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm pack --silent "d3-hierarchy@$version" && tar xzf d3-hierarchy-*.tgz)
cp "$work/package/dist/d3-hierarchy.min.js" d3-hierarchy.min.js
cp "$work/package/LICENSE" d3-hierarchy.LICENSE
head -1 d3-hierarchy.min.js | cut -c1-80
