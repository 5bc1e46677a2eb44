#!/usr/bin/env bash
# Build the program of pgx beside this file, with Debian's packages of Go and of pgx: nothing is fetched.
set -euo pipefail
cd "$(dirname "$0")"
export GO111MODULE=off GOPATH=/usr/share/gocode CGO_ENABLED=0 GOFLAGS=-buildvcs=false
go vet main.go steps.go
go build -o pgx main.go steps.go
