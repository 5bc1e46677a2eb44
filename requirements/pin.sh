#!/usr/bin/env bash
# Write the pins beside this file anew: what pip resolves today for the dependencies in pyproject.toml.
# Each file adds to the one it includes; one set of versions holds for all of them.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C

wanted() { # what pyproject.toml asks for: base, or the name of an extra
    python3 -c '
import sys, tomllib
project = tomllib.load(open(sys.argv[1], "rb"))["project"]
part = sys.argv[2]
print("\n".join(project["dependencies"] if part == "base" else project["optional-dependencies"][part]))
' "$here/../pyproject.toml" "$1"
}

pin() { # pin PART [ON]: resolve a part on top of another in a fresh environment
    local part=$1 on=${2:-} venv="$work/venv-$1"
    python3 -m venv "$venv"
    if [ -n "$on" ]; then cat "$work/$on.all"; else :; fi >"$work/below"
    wanted "$part" | cat "$work/below" - >"$work/wanted"
    "$venv/bin/pip" install --quiet --requirement "$work/wanted" --constraint "$work/known"
    "$venv/bin/pip" freeze --all --exclude pip --exclude setuptools | sort >"$work/$part.all"
    {
        echo "# Written by requirements/pin.sh."
        if [ -n "$on" ]; then echo "-r $on.txt"; fi
        comm -13 "$work/below" "$work/$part.all" | sort -f
    } >"$work/$part.txt"
    sort -u "$work/known" "$work/$part.all" -o "$work/known"
}

: >"$work/known"
pin base
pin demo base
pin dev demo
pin lifecycle base
pin console base
for part in base demo dev lifecycle console; do cp "$work/$part.txt" "$here/$part.txt"; done
